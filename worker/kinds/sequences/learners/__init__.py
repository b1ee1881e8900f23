"""The models that sequences are judged with: one file each, and what neural ones share in `training` beside it."""
