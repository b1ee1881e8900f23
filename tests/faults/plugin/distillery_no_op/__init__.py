"""A plug-in as others may install one: a kind of data, and a method that does nothing, both without torch.

It is found through the entry point in the folder beside it when their common folder is on PYTHONPATH.
"""

from __future__ import annotations

from pathlib import Path

import worker.kinds

# In front, so that this stays the kind also when Distillery has one of that name.
worker.kinds.__path__.insert(0, str(Path(__file__).parent / "kinds"))
