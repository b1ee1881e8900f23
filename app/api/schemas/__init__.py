"""The documents of the API: what requests may hold (nothing else) and what answers hold (and more later)."""
