"""The whole extraction, from video files to a table of vectors, beside the same work in other ways."""
