"""The mathematics of Farzi: synthetic sequences, how they start, their meta-gradient, and the loop over it."""
