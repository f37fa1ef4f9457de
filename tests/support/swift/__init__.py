"""Input: pinned versions and a data folder. Does: sets up OpenStack Swift. Output: daemons for s3_server."""
