"""Documents with labels by the thousand."""
