"""Postgres tables and queries, and the content-addressed blobs. Nobody else writes SQL or blob paths."""
