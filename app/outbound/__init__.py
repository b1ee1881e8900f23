"""Requests to addresses that users name: they reach public hosts over https, and nothing else."""
