"""The buckets of every histogram of durations."""

DURATIONS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
"""In seconds: from a small model on one machine to six hours of imaging."""
