"""A plug-in as others may install one: a kind of data, and methods that do nothing or say what they were given."""

from __future__ import annotations

from pathlib import Path

import worker.kinds

worker.kinds.__path__.append(str(Path(__file__).parent / "kinds"))
