"""The command `distillery`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from distillery.cli.app import app

    app(prog_name="distillery")
