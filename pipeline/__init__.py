"""The library: video in object storage -> one learned vector per time slice, in tables.

Input: a corpus of videos under any fsspec URI. Does: corpus -> decode -> model -> train -> features -> tasks, the
folders in that order, tables underneath all of it. Output: Delta tables under one root.
"""
