"""Input: a cloud account and a token. Does: describes the machines. Output: a Ray cluster for jobs/. See README.md."""
