"""The life of a job, one verb a file. Postgres is the truth; a Celery message is only a hint."""
