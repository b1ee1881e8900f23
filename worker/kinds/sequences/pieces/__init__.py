"""ActionPiece: tokens for sequences of actions, each an unordered set of features (arXiv:2502.13581)."""
