"""One file a method; importing a file registers it."""
