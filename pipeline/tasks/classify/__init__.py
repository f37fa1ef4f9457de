"""Input: vectors and labels. Does: trains a head and gives every video its classes. Output: `heads/`, `predictions`."""
