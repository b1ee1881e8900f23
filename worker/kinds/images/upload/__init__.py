"""One file a form of upload."""
