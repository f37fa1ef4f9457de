"""A few quick seeds of the long proofs."""
