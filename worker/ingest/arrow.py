"""pyarrow, which ships no types, as type checkers are to see it."""

from __future__ import annotations

from typing import Any

import pyarrow.compute

Arrow = Any
"""An array, a scalar, a type, a batch or a table of pyarrow."""
pc: Any = pyarrow.compute  # its functions are made at run time
