"""Methods for documents with labels."""
