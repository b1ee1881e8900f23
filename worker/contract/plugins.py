"""Installed plug-ins: packages with an entry point in the group `distillery.methods`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points


@cache
def import_plugins() -> None:
    """Import every one, once a process: it registers its methods, and adds its kinds to `worker.kinds`."""
    for plugin in entry_points(group="distillery.methods"):
        plugin.load()
