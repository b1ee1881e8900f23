"""A plug-in whose methods say what they were given: a device, credentials."""

from __future__ import annotations

from pathlib import Path

import worker.kinds

worker.kinds.__path__.append(str(Path(__file__).parent / "kinds"))
