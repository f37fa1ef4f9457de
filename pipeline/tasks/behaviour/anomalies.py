"""What `sora behaviour anomaly` does once vectors are there: learn what is normal, score the rest, measure with truth."""
