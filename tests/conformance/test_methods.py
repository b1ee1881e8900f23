"""What every registered method must keep, asked of each by itself; a new method is covered when it is registered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.conformance.life import live
from tests.conformance.work import RunMethod, product_of
from tests.kinds.tiny import tiny_of
from worker.runtime.catalogue import catalogue
from worker.runtime.registry import discover

METHODS = discover()


@pytest.mark.parametrize("row", catalogue(), ids=lambda row: f"{row['kind']}/{row['name']}")
def test_announcement_is_json_with_valid_schemas_and_described_parameters(row):
    row = json.loads(json.dumps(row))
    assert row["summary"]
    for name in ("params_schema", "evaluate_schema"):
        jsonschema.Draft202012Validator.check_schema(row[name])
        for field_name, field in row[name].get("properties", {}).items():
            assert field.get("description"), f"parameter {field_name} is not described"
            if "default" in field:
                schema = {**row[name], "required": []}
                jsonschema.Draft202012Validator(schema).validate({field_name: field["default"]})
    for given in row["inputs"]:
        assert given["description"], f"input {given['name']} is not described"


@pytest.mark.parametrize("key", list(METHODS), ids="/".join)
def test_method_when_run_stopped_and_resumed_then_keeps_the_rules_and_what_it_delivers_loads(
    key: tuple[str, str], tiny: Callable[..., Path], tmp_path: Path
):
    """In time, cancelled within two seconds, resumed to the same bytes, within its memory, read by its own loader."""
    kind, name = key
    method = METHODS[key]
    work = RunMethod(kind, name, tiny(kind, name), tmp_path / "out").made_ready()
    live(work, method.memory_mb, tmp_path)
    if (product := product_of(method)) is not None:
        delivered = next((tmp_path / "out").iterdir())
        line, expected = tiny_of(kind).loaded(product.read(delivered))
        code = f"import sys; sys.path.insert(0, {str(delivered)!r}); {line}"
        said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
        assert float(said) == pytest.approx(expected, rel=1e-5)
