"""Picks of real images: one file a way of picking."""
