"""Shared mathematics: kernels, solvers, samplers. Imports numpy, scipy and torch only."""
