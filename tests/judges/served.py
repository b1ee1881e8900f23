"""The test server as a process of its own, and entries of the operator's file that lead to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.judges.server import KEY

ROOT = Path(__file__).resolve().parents[2]


class Served:
    """A checkpoint behind HTTP; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Served:
        command = [sys.executable, "-m", "tests.judges.server", str(self.folder)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.address = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def fault(self, name: str = "", times: int = 10**9, after: int = 0) -> None:
        """Do this wrong from now on, or after so many questions, and forget what was asked."""
        told = {"fault": name, "times": times, "after": after, "reset": True}
        httpx.post(f"{self.address}/control", json=told)

    def seen(self) -> dict[str, Any]:
        """What was asked since."""
        return httpx.get(f"{self.address}/control").json()

    def openai(self, **more: Any) -> dict[str, Any]:
        """An entry for the OpenAI-compatible endpoint."""
        return {
            "backend": "openai-compatible", "base_url": f"{self.address}/v1", "model": "tiny", "api_key": KEY,
            "context": 512, "poll_s": 0.2, **more,
        }  # fmt: skip

    def gemini(self, **more: Any) -> dict[str, Any]:
        """An entry for the Gemini-shaped endpoint."""
        return {
            "backend": "gemini", "base_url": f"{self.address}/v1beta", "model": "tiny", "api_key": KEY, "context": 512,
            "poll_s": 0.2, **more,
        }  # fmt: skip
