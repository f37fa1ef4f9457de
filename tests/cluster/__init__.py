"""Tests of cluster/ and of jobs submitted to a cluster."""
