"""Writes the locks that images are built from: `make lock`; needs pip-tools and the package index.

```
deploy/lock/build.txt        what builds our wheel          deploy/lock/torch-cpu.txt   torch for processors alone
deploy/lock/api.txt          the image of the API           deploy/lock/torch-cuda.txt  torch with CUDA
deploy/lock/worker.txt       the image of workers, without torch
```
Each names every package with its version and the SHA-256 of every file that the index has of it, so that a file that
was exchanged is refused. They are resolved for the images' Python on Linux x86-64. The builds of torch for processors
alone are not in the package index but in one of torch's own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(__file__).with_name("lock")
PYTHON = (3, 11)
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
_HEAD = "# Written by `make lock`; to change a version, change pyproject.toml.\n"
_OPTIONS = ("--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header", "--annotation-style=line")
_NO_PLACES = ("--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host")
# What torch needs for CUDA and for nothing else.
_CUDA = re.compile(r"(torch|triton|nvidia-.*|cuda-.*)==")
_OURS = re.compile(r"distillery-service \([^)]*\)|-r \S+")  # with a folder of this machine
_PINNED = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)")


def entries(text: str) -> list[str]:
    """The entries of a lock, each with its hashes and the comment that says who needs it; ours, a folder, left out."""
    found: list[str] = []
    inside = False
    for line in text.splitlines():
        if line and not line[0].isspace():
            inside = _PINNED.match(line) is not None
            found += [line] if inside else []
        elif inside:
            found[-1] += "\n" + _OURS.sub("distillery-service", line)
    return found


def pinned(entry: str) -> tuple[str, str]:
    """Name and version of an entry."""
    found = _PINNED.match(entry)
    if found is None:
        raise ValueError(f"not an entry of a lock: {entry[:80]}")
    return found.group(1), found.group(2)


def split(worker: str) -> tuple[list[str], list[str]]:
    """The entries of the worker without torch, and those of torch with CUDA."""
    every = entries(worker)
    return [one for one in every if not _CUDA.match(one)], [one for one in every if _CUDA.match(one)]


def write(name: str, found: list[str]) -> None:
    """Write one lock; refuses one in which an entry has no hash."""
    for entry in found:
        if "--hash=sha256:" not in entry:
            raise ValueError(f"{name}: {entry.splitlines()[0]} has no hash")
    (FOLDER / name).write_text(_HEAD + "\n".join(sorted(found)) + "\n")


def compiled(*words: str, source: str | None = None) -> str:
    """What pip-compile makes of pyproject.toml, or of a line of requirements, with the public index alone."""
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    environment["PIP_CONFIG_FILE"] = os.devnull  # whatever this machine's settings of pip add to it
    with tempfile.TemporaryDirectory() as folder:
        given = ROOT / "pyproject.toml"
        if source is not None:
            given = Path(folder) / "requirements.in"
            given.write_text(source + "\n")
        out = Path(folder) / "lock.txt"
        command = [sys.executable, "-m", "piptools", "compile", "--quiet", *_OPTIONS, *_NO_PLACES, *words]
        subprocess.run([*command, f"--output-file={out}", str(given)], check=True, env=environment, cwd=ROOT)
        return out.read_text()


def torch_for_processors(version: str) -> str:
    """The entry of the build of torch for processors alone: one file, that of this machine's platform."""
    wanted = f"torch=={version}+cpu"
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"),
        *("--retries=1", f"--extra-index-url={TORCH_INDEX}", "--report=-", wanted),
    ]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    (found,) = report["install"]
    sha256 = found["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{wanted} \\\n    --hash=sha256:{sha256}\n    # via distillery-service"


def main() -> None:
    """Write all locks."""
    if sys.version_info[:2] != PYTHON or not sys.platform.startswith("linux"):
        sys.exit(f"The images have Python {PYTHON[0]}.{PYTHON[1]} on Linux: make the locks there.")
    FOLDER.mkdir(exist_ok=True)
    write("build.txt", entries(compiled(source="hatchling")))
    write("api.txt", entries(compiled("--extra=server")))
    worker, cuda = split(compiled("--extra=worker"))
    write("worker.txt", worker)
    write("torch-cuda.txt", cuda)
    version = next(pinned(entry)[1] for entry in cuda if pinned(entry)[0] == "torch")
    write("torch-cpu.txt", [torch_for_processors(version)])


if __name__ == "__main__":
    main()
