"""A plug-in that brings a kind of data: points in the plane, each with a label."""

from pathlib import Path

import worker.kinds

worker.kinds.__path__.append(str(Path(__file__).parent / "kinds"))
