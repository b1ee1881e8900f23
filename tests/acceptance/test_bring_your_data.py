"""The lines of docs/bring_your_data.md work as they stand, and so does every named value that it mentions."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather
from typer.testing import CliRunner

from distillery.cli.app import app
from tests.acceptance.conftest import ROOT, Installation

PAGE = (ROOT / "docs" / "bring_your_data.md").read_text(encoding="utf-8")
USERS, ITEMS, EACH = 80, 30, 10
HEADER = ("user_id", "item_id", "rating", "timestamp")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def events() -> list[tuple[int, int, int, int]]:
    """(user, item, rating, seconds); every user has a taste, so that there is something to learn."""
    rng = np.random.default_rng(5)
    half = ITEMS // 2
    return [
        (user, half * (user % 2) + int(item), int(rng.integers(1, 6)), 1_600_000_000 + int(rng.integers(10**7)))
        for user in range(USERS)
        for item in rng.choice(half, EACH, replace=False)
    ]


def text(rows: list[tuple], header: tuple[str, ...] = HEADER, delimiter: str = ",") -> str:
    return "".join(delimiter.join(map(str, row)) + "\n" for row in ([header] if header else []) + rows)


def parts() -> list[str]:
    return (["train"] * (EACH - 2) + ["valid", "test"]) * USERS


def folds() -> str:
    return text([(*row, part) for row, part in zip(events(), parts(), strict=True)], (*HEADER, "fold"))


def log() -> str:
    rng = np.random.default_rng(2)
    rounds = [
        (n % 12, int(rng.random() < 0.3), 1 / 12, n % 3, *rng.random(2).round(3), 1_600_000_000 + 9_000 * n,
         ("train", "valid", "test")[n % 3])
        for n in range(240)
    ]  # fmt: skip
    return text(rounds, ("action", "reward", "propensity", "position", "context_0", "context_1", "timestamp", "fold"))


def sessions() -> list[list[int]]:
    return [[item for u, item, *_ in events() if u == user] for user in range(USERS)]


def objects() -> list[dict]:
    return [{"user": {"id": u}, "product": {"sku": f"s{i}"}, "rating": r} for u, i, r, _ in events()]


def official(folder: Path) -> None:
    folder.mkdir()
    columns = np.array(events())
    with h5py.File(folder / "total_data.hdf5", "w") as file:
        for place, name in enumerate(("user", "item", "rating")):
            file.create_dataset(name, data=columns[:, place], compression="gzip")
    np.savez_compressed(folder / "index.npz", data=[("train", "valid", "test").index(part) for part in parts()])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the page's lines name."""
    found = tmp_path_factory.mktemp("data")
    (found / "ratings.csv").write_text(text(events()))
    (found / "export.csv").write_text(text(events(), ("who", "what", "rating", "at")))
    (found / "pairs.txt").write_text(text([(u, t, i) for u, i, _, t in events()], (), "   "))
    (found / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in objects()))
    feather.write_feather(pa.Table.from_pylist(objects()), str(found / "events.feather"))
    (found / "prices.csv").write_text(text([(u, i, f"{r},5") for u, i, r, _ in events()], HEADER[:3], ";"))
    (found / "log.csv").write_text(log())
    (found / "sessions.jsonl").write_text("".join(json.dumps({"item_ids": items}) + "\n" for items in sessions()))
    (found / "book.txt").write_text("".join(f"the cat {a} sees the dog {b} and runs\n" for a, b, *_ in events()))
    (found / "folds.csv").write_text(folds())
    with zipfile.ZipFile(found / "splits.zip", "w") as archive:
        for part in ("train", "valid", "test"):
            chosen = [row for row, said in zip(events(), parts(), strict=True) if said == part]
            archive.writestr(f"{part}.csv", text(chosen))
    official(found / "ml-1m")
    return found


def test_command_lines_when_run_in_turn_then_each_is_read(installation: Installation, folder: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -P -m distillery"
    script = "\n".join(["set -eu", f'distillery() {{ {command} "$@"; }}', *blocks("bash")])
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=installation.environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(re.findall(r"^ds_\w+@1$", done.stdout, re.MULTILINE)) == PAGE.count("distillery datasets add ") - 1


def test_python_lines_when_run_in_turn_then_print_what_they_say(installation: Installation, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks("python"))],
        cwd=folder, env=installation.environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    below = sum(r < 3 for _, _, r, _ in events())
    assert "'user': 'user_id'" in done.stdout
    assert re.search(rf"^{below} \d+$", done.stdout, re.MULTILINE), done.stdout


# --- named values

ENCODED = {"utf-16": "utf-16", "latin1": "latin-1", "utf-8": "utf-8", "auto": "utf-8"}
DELIMITERS = {"tab": "\t", "semicolon": ";", "pipe": "|", "whitespace": "   ", "ctrl-a": "\x01"}
FORMATS: dict[str, Callable[[Path], Path]] = {}


def as_format(name: str) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    def register(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        FORMATS[name] = write
        return write

    return register


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@as_format("json")
def _(folder: Path) -> Path:
    return written(folder / "t.json", json.dumps([dict(zip(HEADER, row, strict=True)) for row in events()]))


@as_format("parquet")
def _(folder: Path) -> Path:
    pq.write_table(pa.Table.from_pylist([dict(zip(HEADER, row, strict=True)) for row in events()]), folder / "t")
    return folder / "t"


@as_format("arrow")
def _(folder: Path) -> Path:
    feather.write_feather(
        pa.Table.from_pylist([dict(zip(HEADER, row, strict=True)) for row in events()]), str(folder / "t")
    )
    return folder / "t"


@as_format("npz")
def _(folder: Path) -> Path:
    np.savez(folder / "t.npz", **dict(zip(HEADER, np.array(events()).T, strict=True)))
    return folder / "t.npz"


@as_format("hdf5")
def _(folder: Path) -> Path:
    official(folder / "up")
    return folder / "up" / "total_data.hdf5"


@as_format("recbole")
def _(folder: Path) -> Path:
    typed = tuple(f"{name}:{'token' if name.endswith('id') else 'float'}" for name in HEADER)
    return written(folder / "t.inter", text(events(), typed, "\t"))


@as_format("adjacency")
def _(folder: Path) -> Path:
    rows = [" ".join(map(str, [user, *(i for u, i, *_ in events() if u == user)])) for user in range(USERS)]
    return written(folder / "t.txt", "\n".join(rows) + "\n")


def fitting(kind: str, name: str, value: str, folder: Path) -> Path:
    """A file for which an option has this value."""
    if kind == "bandit" and name == "contents":
        np.savez(folder / "next_week.npz", probabilities=np.full((30, 3), 1 / 3))
        return folder / "next_week.npz"
    if kind == "bandit" and name in {"guardrails", "segments"}:
        header, *rows = log().splitlines()
        return written(
            folder / "log.csv",
            "\n".join(
                [
                    f"{header},revenue,latency,country",
                    *(f"{row},1.5,20,{'de' if at % 2 else 'fr'}" for at, row in enumerate(rows)),
                ]
            ),
        )
    if kind == "bandit":
        return written(folder / "log.csv", log())
    if name == "format" and value in FORMATS:
        return FORMATS[value](folder)
    if name == "delimiter":
        return written(
            folder / "t.csv", text(events(), delimiter=DELIMITERS.get(value, value if len(value) < 3 else ","))
        )
    if name == "quote" and value in {"double", "single"}:
        mark = {"double": '"', "single": "'"}[value]
        cells = [tuple(f"{mark}{cell}{mark}" for cell in row) for row in events()]
        return written(folder / "t.csv", text(cells, tuple(f"{mark}{cell}{mark}" for cell in HEADER)))
    if name == "header" and value == "false":
        return written(folder / "t.csv", text(events(), ()))
    if name == "decimal" and value == "comma":
        return written(folder / "t.csv", text([(u, i, f"{r},5") for u, i, r, _ in events()], HEADER[:3], ";"))
    if name == "encoding":
        return written(folder / "t.csv", text(events()).encode(ENCODED.get(value, value)))
    if name == "keep_text":
        return written(folder / "t.csv", text([(*row, "said so") for row in events()], (*HEADER, "text")))
    if name == "split" and value == "files":
        for part in ("train", "test"):
            rows = [row for row, said in zip(events(), parts(), strict=True) if (said == "test") == (part == "test")]
            written(folder / f"{part}.csv", text(rows))
        return folder
    return written(folder / "t.csv", folds())


def named_values() -> list[tuple[str, str]]:
    """(kind, NAME=VALUE) of everything that the page puts in its tables of options."""
    tables = PAGE.split("## Options")[1].split("## Splits")[0]
    tables = "\n".join(line for line in tables.splitlines() if line.startswith(("|", "Those of ")))
    shared, rest = tables.split("Those of `interactions`")
    own, logs = rest.split("Those of `bandit`")
    found = [("interactions", word) for word in re.findall(r"`(\w+=[^`]+)`", shared + own)]
    return found + [("bandit", word) for word in re.findall(r"`(\w+=[^`]+)`", logs)]


def test_named_values_when_looked_for_then_the_page_has_many() -> None:
    assert len(named_values()) > 70


@pytest.mark.parametrize(("kind", "option"), sorted({(kind, word.split("=", 1)[0]) for kind, word in named_values()}))
def test_named_values_when_given_on_the_command_line_then_each_is_read(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, option: str
) -> None:
    for name, value in installation.environment.items():
        if name.startswith("DISTILLERY_"):
            monkeypatch.setenv(name, value)
    values = [word for of, word in named_values() if (of, word.split("=", 1)[0]) == (kind, option)]
    refused = {}
    for place, word in enumerate(values):
        folder = tmp_path / str(place)
        folder.mkdir()
        path = fitting(kind, *word.split("=", 1), folder)
        done = CliRunner().invoke(app, ["datasets", "add", str(path), "--kind", kind, "-o", word, "--json"])
        if done.exit_code:
            refused[word] = done.output[-600:]
    assert not refused, json.dumps(refused, indent=1)
