"""What is like what: input vectors of a root and a query, output the nearest clips or videos, and groups of copies."""
