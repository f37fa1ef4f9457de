"""Input: the tables. Does: the uses of the vectors, one file each. Output: answers."""
