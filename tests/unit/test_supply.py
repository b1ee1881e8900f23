"""What images are made of: pinned by hash and digest, complete, and listed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy import images, sbom
from deploy.lock import FOLDER, entries, pinned, split
from tests.compose import ROOT, compose, filled_in, stages

LOCKS = ("api.txt", "build.txt", "torch-cpu.txt", "torch-cuda.txt", "worker.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIGEST = "sha256:" + "0123456789abcdef" * 4


def versions(*names: str) -> dict[str, str]:
    found = [pinned(entry) for name in names for entry in entries((FOLDER / name).read_text())]
    assert len(found) == len(dict(found)), "a package is pinned twice"
    return dict(found)


def requirements(*extras: str) -> list[Requirement]:
    """What the project and these extras ask for on Linux."""
    given = [*PROJECT["dependencies"], *(one for extra in extras for one in PROJECT["optional-dependencies"][extra])]
    return [Requirement(one) for one in given if not one.startswith("distillery-service[")]


def test_extra_when_named_in_a_page_or_a_hint_then_the_project_has_it():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    code = [path for folder in ("app", "worker", "distillery") for path in (ROOT / folder).rglob("*.py")]
    named = {
        extra
        for path in [*pages, *code]
        for one in re.findall(r"(?:pip install \"?\.|distillery-service)\[([a-z,]+)\]", path.read_text("utf-8"))
        for extra in one.split(",")
    }
    assert named >= {"server", "worker", "llm", "minilm", "ray", "otel"}
    assert named <= PROJECT["optional-dependencies"].keys()


# --- locks ---


@pytest.mark.parametrize("name", LOCKS)
def test_lock_when_read_then_every_line_is_a_version_with_hashes_or_a_comment(name: str):
    text = (FOLDER / name).read_text()
    for entry in entries(text):
        lines = [line.strip().removesuffix("\\").strip() for line in entry.splitlines()]
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[\w.+!-]+( ; .+)?", lines[0]), lines[0]
        hashes = [line for line in lines[1:] if not line.startswith("#")]
        assert hashes, f"{lines[0]} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), entry
    assert "/" not in re.sub(r"^#.*", "", text, flags=re.MULTILINE), "a lock names no place"


@pytest.mark.parametrize(
    ("locks", "extras"),
    [(("api.txt",), ("server",)), (("worker.txt", "torch-cpu.txt"), ("server", "worker")),
     (("worker.txt", "torch-cuda.txt"), ("server", "worker"))],
)  # fmt: skip
def test_lock_when_compared_with_the_project_then_it_has_a_fitting_version_of_everything(locks, extras):
    have = versions(*locks)
    for requirement in requirements(*extras):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in have, f"make lock: {name} is missing"
        assert requirement.specifier.contains(have[name]), f"make lock: {name} {have[name]} is not {requirement}"


def test_locks_when_compared_then_both_images_have_the_same_versions_and_the_api_no_torch():
    api, worker = versions("api.txt"), versions("worker.txt")
    assert "torch" not in api
    assert {name: worker.get(name) for name in api} == api
    cpu, cuda = versions("torch-cpu.txt"), versions("torch-cuda.txt")
    assert cpu["torch"].partition("+")[0] == cuda["torch"]
    assert set(cpu) == {"torch"}
    assert not set(cuda) & set(worker)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert set(build) <= set(versions("build.txt"))


def test_lock_when_torch_is_taken_out_then_nothing_of_it_is_left_behind():
    hashes = " \\\n    --hash=sha256:" + "a" * 64
    lines = [f"{name}==1.0{hashes}" for name in ("numpy", "nvidia-cublas", "torch", "torchless", "triton")]
    worker, cuda = split("\n".join(lines))
    assert [pinned(entry)[0] for entry in worker] == ["numpy", "torchless"]
    assert [pinned(entry)[0] for entry in cuda] == ["nvidia-cublas", "torch", "triton"]


# --- images ---


def test_images_when_named_then_only_by_variables_without_a_default():
    wanted = images.variables(images.TAGS)
    bases = {stage.base for stage in stages().values() if stage.base not in stages()}
    assert bases == {"${PYTHON_IMAGE}"}
    assert re.search(r"^ARG PYTHON_IMAGE$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for name, service in compose()["services"].items():
        named = service["build"]["args"]["PYTHON_IMAGE"] if "build" in service else service["image"]
        variable = re.match(r"\$\{(\w+):\?", named)
        assert variable is not None, f"{name} runs {named}"
        assert variable.group(1) in wanted
        with pytest.raises(AssertionError, match="make images-digests"):
            filled_in(named, {})


@pytest.mark.parametrize(
    "pin", ["python:3.11-slim", "python:3.11-slim@", f"python:3.11-slim@{DIGEST[:-1]}", f"python:3.12-slim@{DIGEST}",
            "python:3.11-slim@md5:abc", "latest", ""],
)  # fmt: skip
def test_images_when_one_has_a_tag_alone_or_another_tag_then_refused(pin: str):
    wanted = {"PYTHON_IMAGE": "python:3.11-slim"}
    assert images.check({"PYTHON_IMAGE": pin}, wanted)
    assert images.check({}, wanted)
    assert not images.check({"PYTHON_IMAGE": f"python:3.11-slim@{DIGEST}"}, wanted)


def test_images_when_pinned_in_the_repository_then_all_are_and_of_the_wanted_tags():
    if images.PINNED.exists():
        assert images.check(images.variables(images.PINNED), images.variables(images.TAGS)) == []


def test_digests_when_looked_up_then_written_as_docker_says_and_refused_when_it_says_none(tmp_path: Path):
    """Docker itself is a stand-in here: what is tried is what is asked of it and what is made of its answer."""
    docker = tmp_path / "docker"
    asked = '[ "$1 $2 $3" = "buildx imagetools inspect" ] || exit 9'
    docker.write_text(f'#!/bin/sh\n{asked}\n[ -z "$SILENT" ] && echo {DIGEST}\nexit 0\n')
    docker.chmod(0o755)
    code = f"from deploy import images; images.PINNED = images.Path({str(tmp_path / 'images.env')!r}); images.main()"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=ROOT, env={**environment, **more}, capture_output=True, text=True, check=False
        )

    refused = run(SILENT="1")
    assert refused.returncode != 0
    assert "has no digest" in refused.stderr
    assert not (tmp_path / "images.env").exists()
    assert run().returncode == 0
    written = images.variables(tmp_path / "images.env")
    assert written == {name: f"{tag}@{DIGEST}" for name, tag in images.variables(images.TAGS).items()}


# --- what is inside ---


@pytest.mark.parametrize("image", sorted(sbom.IMAGES))
def test_sbom_when_compared_with_the_lock_then_complete(image: str):
    document = json.loads(sbom.rendered(image))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    libraries = {one["name"]: one for one in document["components"] if one["type"] == "library"}
    assert {name: one["version"] for name, one in libraries.items()} == versions(*sbom.IMAGES[image])
    text = "".join((FOLDER / name).read_text() for name in sbom.IMAGES[image])
    listed = [
        one["content"] for part in libraries.values() for where in part["externalReferences"] for one in where["hashes"]
    ]
    assert sorted(listed) == sorted(re.findall(r"sha256:([0-9a-f]{64})", text))
    references = {one["bom-ref"] for one in document["components"]} | {document["metadata"]["component"]["bom-ref"]}
    graph = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    assert set(graph) <= references
    needed = {one for needs in graph.values() for one in needs}
    assert needed == {one["bom-ref"] for one in libraries.values()}, "each is there because something needs it"
    assert [one["name"] for one in document["components"] if one["type"] == "container"] == ["python"]


def test_sbom_when_a_lock_changes_then_changes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = sbom.rendered("api")
    changed = (FOLDER / "api.txt").read_text().replace("--hash=sha256:0", "--hash=sha256:1", 1)
    (tmp_path / "api.txt").write_text(changed)
    monkeypatch.setattr(sbom, "FOLDER", tmp_path)
    assert sbom.rendered("api") != before
