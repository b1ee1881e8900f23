"""The command `distillery`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. Whoever reads its output may stop to: `distillery jobs ls | head -1` ends quietly."""
    from distillery.cli.app import app

    try:
        try:
            app(prog_name="distillery")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, else the interpreter complains when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
