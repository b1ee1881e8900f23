"""Passes over the shards of a dataset: a map and an associative merge, run here, in processes, or on Ray."""
