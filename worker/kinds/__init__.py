"""One package per kind of data; a kind never imports another."""
