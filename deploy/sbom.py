"""Writes what is inside the images as CycloneDX 1.6: `make sbom`, from the locks and deploy/images.txt alone.

One document for each image, in deploy/sbom. The same locks give the same bytes: no time stands in them, and the serial
number comes from the content.
"""

from __future__ import annotations

import json
import re
import tomllib
import uuid
from pathlib import Path
from typing import Any

from deploy.images import PINNED, TAGS, variables
from deploy.lock import FOLDER, ROOT, entries, pinned

SBOMS = Path(__file__).with_name("sbom")
IMAGES = {
    "api": ("api.txt",),
    "worker": ("worker.txt", "torch-cpu.txt"),
    "worker-gpu": ("worker.txt", "torch-cuda.txt"),
}
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"#\s+via\s+(.*)$", re.MULTILINE)


def locked(names: tuple[str, ...]) -> list[str]:
    """The entries of these locks."""
    return [entry for name in names for entry in entries((FOLDER / name).read_text(encoding="utf-8"))]


def document(image: str) -> dict[str, Any]:
    """The document of one image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = locked(IMAGES[image])
    reference = {pinned(entry)[0]: _purl(*pinned(entry)) for entry in found}
    root = f"pkg:pypi/{project['name']}@{project['version']}"
    needed_by: dict[str, set[str]] = {one: set() for one in (root, *reference.values())}
    for entry in found:
        for parent in _parents(entry):
            needed_by.setdefault(reference.get(parent, root), set()).add(reference[pinned(entry)[0]])
    body: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application", "bom-ref": root, "name": project["name"], "version": project["version"],
                "purl": root, "licenses": [{"license": {"id": project["license"]}}],
                "properties": [{"name": "distillery:image", "value": image}],
            }
        },
        "components": [*(_component(entry) for entry in found), _base()],
        "dependencies": [{"ref": one, "dependsOn": sorted(needs)} for one, needs in sorted(needed_by.items())],
    }  # fmt: skip
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(body, sort_keys=True))
    return {**body, "serialNumber": f"urn:uuid:{serial}"}


def rendered(image: str) -> str:
    """The document as it is written."""
    return json.dumps(document(image), indent=1, sort_keys=True) + "\n"


def _component(entry: str) -> dict[str, Any]:
    name, version = pinned(entry)
    page = f"https://pypi.org/project/{name}/{version.partition('+')[0]}/"
    hashes = [{"alg": "SHA-256", "content": one} for one in sorted(_HASH.findall(entry))]
    # A version is several files, one of which is installed: each has a hash.
    return {
        "type": "library", "bom-ref": _purl(name, version), "name": name, "version": version,
        "purl": _purl(name, version), "scope": "required",
        "externalReferences": [{"type": "distribution", "url": page, "hashes": hashes}],
    }  # fmt: skip


def _base() -> dict[str, Any]:
    """The image that ours is built on, with its digest where it is pinned."""
    image = (variables(PINNED) if PINNED.exists() else variables(TAGS))["PYTHON_IMAGE"]
    tag, _, digest = image.partition("@")
    name, _, version = tag.partition(":")
    component: dict[str, Any] = {"type": "container", "bom-ref": f"image:{tag}", "name": name, "version": version}
    if digest:
        component["hashes"] = [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]
    return component


def _parents(entry: str) -> list[str]:
    found = _VIA.search(entry)
    return [word.partition("[")[0].strip() for word in found.group(1).split(",")] if found else []


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version.replace('+', '%2B')}"


if __name__ == "__main__":
    SBOMS.mkdir(exist_ok=True)
    for each in IMAGES:
        (SBOMS / f"{each}.cdx.json").write_text(rendered(each), encoding="utf-8")
