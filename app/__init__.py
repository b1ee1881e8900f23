"""The front end and the truth: HTTP, the life of a job, the store."""
