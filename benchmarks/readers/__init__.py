"""Readers that poll a table while a writer commits and maintenance replaces and removes files."""
