"""A self-signed certificate, made by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def certificate_for(name: str, folder: Path) -> Path:
    """A PEM file with a fresh key and a certificate for this host; the test is skipped without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    both.write_text(key.read_text() + certificate.read_text())
    return both
