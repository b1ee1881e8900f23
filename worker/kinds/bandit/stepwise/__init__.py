"""Estimates over units of several steps, each with a weight of its own: slates, trajectories, and single rounds."""
