"""Does text help to predict ratings? Models with and without it, and what tells them apart."""
