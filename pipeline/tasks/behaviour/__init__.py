"""Input: the vectors, reconstruction errors and motion of each video's time slices, in their order.

Does: finds change points and behaviours in them, scores what is unlike normal footage, tells two behaviours of clips
apart. Output: rows of `segments`, profiles, anomaly scores, accuracies, timelines. No claim is made about what a person
feels: see docs/behaviour.md.
"""
