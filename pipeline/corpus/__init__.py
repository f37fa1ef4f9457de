"""Input: a corpus URI and, if there is one, a CSV of labels.

Does: lists it, tells video from other content by content, probes what is new or changed in the sandbox.
Output: rows of `videos`, `labels`, `failures` and `ignored`.
"""
