"""A whole installation in one folder, from one command: Postgres, Redis, dispatcher, worker and API."""
