"""Partitions of the rows of a matrix."""
