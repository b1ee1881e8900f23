"""README's lines work as they stand: each block of one language runs after the ones before it, in one folder."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import ROOT, Installation

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the blocks find around them: the bundled data, and an environment whose commands are this one's."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "distillery" / "data").mkdir(parents=True)
    shutil.copy(ROOT / "distillery" / "data" / "msweb.parquet", folder / "distillery" / "data")
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name, words in {"distillery": "-m distillery", "python3": ""}.items():
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P {words} "$@"\n')
        script.chmod(0o755)
    (commands / "activate").write_text(f"export PATH={shlex.quote(str(commands))}:$PATH\n")
    return folder


def test_commands_when_named_in_readme_then_make_knows_them() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "up", "down"} <= targets
    assert set(re.findall(r"\bmake ([a-z-]+)\b", "\n".join(re.findall(r"`[^`]+`|^make .*", README, re.M)))) <= targets


def test_shell_blocks_when_run_in_turn_then_give_a_summary(installation: Installation, clone: Path) -> None:
    # `make up` is what the fixture has done already, in a home of its own.
    script = "\n".join(["set -eu", *(block for block in blocks("bash") if block.strip() != "make up")])
    done = subprocess.run(
        ["bash", "-c", script], cwd=clone, env=installation.environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert "full-data" in done.stdout or "undetermined" in done.stdout.lower(), done.stdout
    assert (clone / "summary.zip").read_bytes()[:2] == b"PK"
    assert "Traceback" not in done.stderr


def test_python_blocks_when_run_in_turn_then_give_a_summary(installation: Installation, clone: Path) -> None:
    program = "\n".join(blocks("python"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=clone,
        env=installation.environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert (clone / "summary" / "load.py").is_file()
    assert "<html" in (clone / "report.html").read_text(encoding="utf-8")
    assert re.search(r"^\(\d+, \d+\)$", done.stdout, re.MULTILINE)
