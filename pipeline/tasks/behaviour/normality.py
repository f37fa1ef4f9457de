"""How unlike normal footage a slice is."""
