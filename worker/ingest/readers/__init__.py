"""One file per input format; each yields Arrow record batches."""
