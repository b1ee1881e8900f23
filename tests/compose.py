"""docker-compose.yml and the Dockerfile as data, for tests that hold them against the code."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
_VARIABLE = re.compile(r"\$\{(\w+)(?::(-|\?)([^}]*))?\}")


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def ours() -> dict[str, dict[str, Any]]:
    """The services that run our own images."""
    return {name: service for name, service in compose()["services"].items() if "build" in service}


def filled_in(text: object, variables: dict[str, str]) -> str:
    """A value with its `${NAME:-default}` and `${NAME:?why}` replaced as Compose does."""

    def value(found: re.Match[str]) -> str:
        name, way, rest = found.groups()
        if variables.get(name):
            return variables[name]
        assert way == "-", f"{name} must be set: {rest}"
        return rest

    return _VARIABLE.sub(value, str(text)).replace("$$", "$")


@dataclass
class Stage:
    """One stage of the Dockerfile: its base and its instructions as (word, rest)."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [rest for found, rest in self.instructions if found == word]


def stages() -> dict[str, Stage]:
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: dict[str, Stage] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = Stage(name, base)
        elif found:
            current.instructions.append((word, rest.strip()))
    return found


def lineage(name: str) -> list[Stage]:
    """A stage and those it is built on, itself last."""
    every = stages()
    stage = every[name]
    return [*lineage(stage.base), stage] if stage.base in every else [stage]


def stage_environment(name: str) -> dict[str, str]:
    """What ENV sets in a stage and those it is built on."""
    pairs: dict[str, str] = {}
    for stage in lineage(name):
        for text in stage.all("ENV"):
            pairs |= dict(word.partition("=")[::2] for word in text.split())
    return pairs


def exec_form(text: str) -> list[str]:
    """The words of CMD or HEALTHCHECK ... CMD in its JSON form."""
    return json.loads(text[text.index("[") :])
