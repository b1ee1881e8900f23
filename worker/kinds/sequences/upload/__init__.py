"""What uploads of sequences hold beside tables of one event a row: lists, texts, and what is known of items."""
