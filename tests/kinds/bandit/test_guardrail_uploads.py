"""Guardrails and segments of an upload: found, checked, stored; and uploads without them stored as ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.kinds.bandit.uploads import columns, read, refusal, upload, write_csv
from worker.kinds.bandit import canonical

GUARDED = {"guardrails": ["latency ms"], "segments": ["country", "context_device", "tier"]}


def with_more(rounds: int = 200) -> dict[str, np.ndarray]:
    """The planted log with a guardrail and three categories, one of which describes the context."""
    number = np.arange(rounds)
    more = {
        "latency ms": number % 7 + 0.5,
        "country": np.array(["de", "fr", ""])[number % 3],
        "context_device": np.array(["phone", "desk"])[number % 2],
        "tier": number % 4,
    }
    return columns(rounds) | more


@pytest.mark.parametrize("form", ["csv", "npz"])
def test_upload_when_guardrails_and_segments_are_named_then_they_stand_beside_the_reward(tmp_path: Path, form: str):
    table = with_more()
    folder = upload(tmp_path)
    if form == "csv":
        write_csv(folder / "log.csv", table)
    else:
        np.savez(folder / "log.npz", n_actions=12, **table)
    log, result = read(folder, GUARDED)
    np.testing.assert_array_equal(log.guardrails["latency ms"], table["latency ms"])
    for name in GUARDED["segments"]:
        words = np.array(log.segments[name].words)[log.segments[name].code]
        np.testing.assert_array_equal(words, table[name].astype(str))
    assert result["statistics"]["segments"] == {"country": 3, "context_device": 2, "tier": 4}
    assert result["statistics"]["guardrails"]["latency ms"]["max"] == 6.5
    assert (result["preview"][0]["country"], result["preview"][0]["latency ms"]) == ("de", 0.5)
    some = log.take(np.array([5, 1]))
    assert some.guardrails["latency ms"].tolist() == [5.5, 1.5]
    assert [some.segments["country"].words[code] for code in some.segments["country"].code] == ["", "fr"]


def test_upload_when_a_segment_describes_the_context_too_then_it_is_encoded_as_before(tmp_path: Path):
    write_csv(upload(tmp_path, "a") / "log.csv", with_more())
    write_csv(upload(tmp_path, "b") / "log.csv", with_more())
    (with_them, result), (without, _) = read(tmp_path / "a", GUARDED), read(tmp_path / "b")
    np.testing.assert_array_equal(with_them.contexts, without.contexts)
    assert result["detection"]["context_columns"].count("context_device") == 1
    assert result["detection"]["columns"]["segments:context_device"] == "context_device"


def test_canonical_when_written_again_then_is_the_same_bytes(tmp_path: Path):
    write_csv(upload(tmp_path) / "log.csv", with_more())
    log, _ = read(tmp_path / "up", GUARDED)
    again = tmp_path / "again"
    again.mkdir()
    canonical.write(log, again, {k: v for k, v in canonical.manifest(tmp_path / "up-canonical").items() if k in _MORE})
    for path in (tmp_path / "up-canonical").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(tmp_path / "up-canonical")).read_bytes(), path.name


_MORE = ("first_action", "context_features", "propensity_source", "options")


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"guardrails": ["speed"]}, "/options/guardrails"),
        ({"segments": ["region"]}, "/options/segments"),
        ({"segments": ["many"]}, "/options/segments"),
        ({"guardrails": ["holes"]}, "/options/guardrails"),
    ],
)
def test_upload_when_a_column_is_missing_or_unfit_then_says_which_option_to_mend(tmp_path: Path, options, pointer):
    table = with_more(1200) | {"many": np.arange(1200), "holes": np.where(np.arange(1200) == 3, np.nan, 1.0)}
    write_csv(upload(tmp_path) / "log.csv", table)
    assert refusal(tmp_path / "up", options).pointer == pointer


def test_upload_when_vw_text_then_guardrails_are_refused_with_a_cure(tmp_path: Path):
    folder = upload(tmp_path)
    (folder / "log.vw").write_text("".join(f"{i % 2 + 1}:{i % 3}:0.5 | a b\n" for i in range(60)))
    assert "CSV" in refusal(folder, {"guardrails": ["x"]}).hint


def test_upload_when_it_has_neither_then_its_files_are_those_of_before(tmp_path: Path):
    """Golden: bytes of the manifest and the arrays, and the columns of the table, of numbers without any rounding."""
    number = np.arange(64)
    table = {"action": number % 4, "reward": number % 2, "propensity": np.full(64, 0.25), "context_a": number % 8}
    write_csv(upload(tmp_path) / "log.csv", table)
    read(tmp_path / "up", {"split": "none", "r_min": 0, "r_max": 1})
    out = tmp_path / "up-canonical"
    files = sorted(path for path in out.rglob("*") if path.is_file())
    assert [path.name for path in files] == ["actions.parquet", "contexts.npy", "log.json", "rounds.parquet"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files if path.suffix != ".parquet")).hexdigest()
    assert digest == "6885d7a30bb039f2647f6f8855b4808f93701687b48d0afaeb9be241b18f2a9b"
    fields = parquet.read_schema(out / "rounds.parquet")
    assert {field.name: str(field.type) for field in fields} == {
        "action": "int32", "reward": "double", "propensity": "double", "split": "int8",
    }  # fmt: skip
