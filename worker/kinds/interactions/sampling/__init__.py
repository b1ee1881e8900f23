"""Sampling strategies for interactions: in which order each of them keeps training events (arXiv:2201.04768)."""
