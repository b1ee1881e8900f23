"""Plug-ins as others may install them, each a folder with a package and the metadata that names its entry point.

One is installed where its folder is on PYTHONPATH.
"""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent


def python_path(*plugins: str, before: tuple[Path, ...] = ()) -> str:
    """PYTHONPATH with these plug-ins installed, and other folders in front of them."""
    own = [str(folder) for folder in (*before, *(HERE / name for name in plugins))]
    return os.pathsep.join([*own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
