"""The reader of clips beside other ways to decode video: the same videos, the same frames, the same size."""
