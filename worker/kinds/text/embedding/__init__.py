"""Documents as vectors: hashed n-grams, a sentence encoder, or a column that was uploaded."""
