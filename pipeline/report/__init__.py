"""Input: the tables of a root. Does: sums up for people. Output: a status, later an HTML report."""
