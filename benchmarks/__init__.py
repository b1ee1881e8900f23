"""Speed, memory and quality, measured side by side with peers; results lie in `results/`."""
