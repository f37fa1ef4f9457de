"""Input: the catalog, and a model of the root.

Does: finds what has no vector yet, decodes it in the sandbox, encodes every time slice.
Output: rows of `features`, `failures` and `runs`.
"""
