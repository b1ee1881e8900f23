"""Pins images by digest: `make images-digests` writes deploy/images.env from deploy/images.txt; needs docker.

A tag is moved by whoever may publish under it; a digest names one content for good. So nothing here runs a tag alone:
Compose and the Dockerfile have no default for an image, and `check` refuses a file that lacks a digest.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TAGS = Path(__file__).with_name("images.txt")
PINNED = Path(__file__).with_name("images.env")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEAD = "# Written by `make images-digests` from deploy/images.txt.\n"


def variables(path: Path) -> dict[str, str]:
    """The lines `NAME=value` of a file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def check(pinned: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """What is wrong with pinned images: one missing, of another tag, or without a whole digest."""
    wrong = [f"{name} is missing" for name in wanted if name not in pinned]
    for name, image in pinned.items():
        tag, _, digest = image.partition("@")
        if tag != wanted.get(name):
            wrong.append(f"{name} is of {tag!r}, wanted is {wanted.get(name)!r}")
        if not _DIGEST.fullmatch(digest):
            wrong.append(f"{name}={image} has no digest")
    return wrong


def looked_up(tag: str) -> str:
    """The image with the digest that the tag has now: that of the list of its platforms, if there is one."""
    command = ["docker", "buildx", "imagetools", "inspect", tag, "--format", "{{.Manifest.Digest}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{tag} cannot be looked up: {done.stderr.strip()}")
    return f"{tag}@{done.stdout.strip()}"


def main() -> None:
    """Write the file; with `check` as its word, say what is wrong with the one that is there."""
    wanted = variables(TAGS)
    if sys.argv[1:] == ["check"]:
        pinned = variables(PINNED) if PINNED.exists() else {}
        wrong = check(pinned, wanted)
        raise SystemExit("\n".join([*wrong, "make images-digests writes deploy/images.env"]) if wrong else 0)
    pinned = {name: looked_up(tag) for name, tag in wanted.items()}
    if wrong := check(pinned, wanted):
        raise SystemExit("\n".join(wrong))
    PINNED.write_text(_HEAD + "".join(f"{name}={image}\n" for name, image in pinned.items()), encoding="utf-8")


if __name__ == "__main__":
    main()
