"""Schedules of faults on real extractions; each root is compared key by key with one that met none."""
