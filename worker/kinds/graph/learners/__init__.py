"""Models that are trained on graphs to compare them, one a file."""
