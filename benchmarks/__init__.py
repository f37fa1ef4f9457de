"""Input: a seed or a corpus, and this machine.

Does: proves on real processes what is too long for the test suite.
Output: one JSON line of figures, and exit code 1 when one of them is missed.
"""
