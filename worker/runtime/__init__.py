"""How a job runs: the supervising parent, the child process of one attempt, and what both know of methods."""
