"""Search over a million vectors in the real table: exact, through the index, and FAISS on the same vectors."""
