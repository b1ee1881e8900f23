"""`python -m distillery` is the command `distillery`."""

from __future__ import annotations

from distillery.cli import main

if __name__ == "__main__":
    main()
