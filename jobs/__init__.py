"""What one submits: parse -> config -> call the library -> say what happened. One file a job.

Input: the command line. Does: what its name says. Output: an exit code (0 done, 2 usage, 10 done with many failures,
20 retryable, 30 needs a person), progress on stderr, the answer on stdout.
"""
