"""Run every benchmark in turn: `python -m benchmarks`. Those that need a peer say so and are left out without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
NEEDS = {"off_policy.obp_speed": "--obp-python peers/obp/bin/python (recipe in off_policy/obp_reference.py)"}
"""Those that do nothing without what is named here."""
NOT_ALONE = {"__main__", "job_layer_worker", "data_genie", "data_genie_corpus", "off_policy.obp_reference"}
"""This file, parts of another one, and those that make what ships or what a test holds."""


def benchmarks() -> Iterator[str]:
    """The modules below this folder that measure something, by name."""
    for path in sorted(FOLDER.rglob("*.py")):
        name = ".".join(path.relative_to(FOLDER).with_suffix("").parts)
        if "def main(" in path.read_text() and not name.startswith("peers.") and name not in NOT_ALONE:
            yield name


def main() -> None:
    failed: list[str] = []
    for name in benchmarks():
        if name in NEEDS:
            sys.stderr.write(f"left out: python -m benchmarks.{name} {NEEDS[name]}\n")
        elif subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode:
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
