"""Rounds that stand for a whole log: how they are chosen, what they keep, and what is learnt from them."""
