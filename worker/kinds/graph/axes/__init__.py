"""The axes of evidence beside accuracy: one file each, every one from the same trained networks and graphs."""
