"""A kind that a plug-in brings is asked the same as ours, without a line of these tests being changed."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.plugins import python_path


def test_toy_kind_when_installed_then_it_keeps_all_the_rules():
    words = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "points", "tests/conformance"]
    environment = {**os.environ, "PYTHONPATH": python_path("points")}
    done = subprocess.run([sys.executable, "-m", "pytest", *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    # its methods (compare among them) and its ingest announced, its methods run, its upload read and left, its version
    # and product judged
    assert "11 passed" in done.stdout
