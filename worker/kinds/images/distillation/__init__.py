"""Distillers of images: what is learned, the loop that learns it, and the losses by which it is."""
