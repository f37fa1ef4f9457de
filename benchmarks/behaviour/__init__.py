"""Input: nothing. Does: renders normal footage and footage with planted anomalies, measures how well they are found.

Output: frame AUC, of each kind of anomaly too, beside motion, reconstruction error and brightness alone.
"""
