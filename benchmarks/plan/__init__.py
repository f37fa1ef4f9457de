"""The plan of an extraction over a catalog of millions of videos."""
