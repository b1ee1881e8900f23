"""Untrusted bytes to canonical files."""
