"""Sparsification: the same nodes with fewer edges."""
