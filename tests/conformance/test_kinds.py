"""What every kind must keep, asked of each by itself: its upload, its canonical files, its products, its judging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.life import live
from tests.conformance.work import Judge, hash_of_files, product_of
from tests.kinds.tiny import tiny_of
from worker.contract.context import Context
from worker.contract.errors import Cancelled
from worker.contract.method import Method
from worker.runtime.registry import discover, kind_names, load_kind

METHODS = discover()
KINDS = sorted({kind for kind, _ in METHODS})
Canonical = Callable[[str], Path]


class Stopped(Context):
    """It is told to stop at the first report of progress."""

    def report_progress(self, *_: object) -> None:
        self.stop()


def quickest(kind: str, product: str) -> Method:
    """A method that makes this product: one that selects, if there is one, and needs nothing of the operator."""
    able = [m for m in METHODS.values() if m.kind == kind and (made := product_of(m)) and made.type == product]
    assert able, f"no method of {kind} says that it makes a {product}"
    return min(able, key=lambda method: (bool(method.needs), method.task != "select", method.name))


def products() -> Iterator[tuple[str, str]]:
    for kind in KINDS:
        yield from ((kind, product.type) for product in load_kind(kind).products)


def test_kinds_when_asked_for_then_each_has_a_method():
    assert set(kind_names()) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_upload_when_ingested_twice_then_gives_the_same_files_and_what_describing_them_says(
    kind: str, tiny: Canonical, tmp_path: Path
):
    (tmp_path / "upload").mkdir()
    (tmp_path / "canonical").mkdir()
    one, given = load_kind(kind), tiny_of(kind)
    sources = given.upload(tmp_path / "upload")
    said = one.ingest.run(sources, given.options, tmp_path / "canonical", Context(), {})
    assert hash_of_files(tmp_path / "canonical") == hash_of_files(tiny(kind))
    described = one.describe(tmp_path / "canonical")
    assert said.keys() == {"statistics", "preview", "schema", "warnings", "detection"}
    assert described.keys() == {"statistics", "preview", "warnings"}
    assert said["statistics"] | described["statistics"] == said["statistics"]
    assert described["preview"] == said["preview"]
    unnamed = [need for need in one.judging.needs if not need.only]
    assert all(said["statistics"][need.quantity] > 0 for need in unnamed)  # a job on it is not refused


@pytest.mark.parametrize("kind", KINDS)
def test_upload_when_cancelled_then_is_left(kind: str, tmp_path: Path):
    given = tiny_of(kind)
    (tmp_path / "upload").mkdir()
    (tmp_path / "canonical").mkdir()
    with pytest.raises(Cancelled):
        load_kind(kind).ingest.run(
            given.upload(tmp_path / "upload"), given.options, tmp_path / "canonical", Stopped(), {}
        )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if load_kind(kind).adopt is not None])
def test_version_when_read_as_a_summary_and_exported_then_is_the_same_summary_again(
    kind: str, tiny: Canonical, tmp_path: Path
):
    one = load_kind(kind)
    data = one.load(tiny(kind))
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        one.adopt(data, one.load(tiny(kind) if not number else tmp_path / "0" / "dataset")).write(folder, data)
    assert one.describe(tmp_path / "0" / "dataset") == one.describe(tmp_path / "1" / "dataset")
    assert hash_of_files(tmp_path / "0" / "dataset") == hash_of_files(tmp_path / "1" / "dataset")


@pytest.mark.parametrize(("kind", "product"), list(products()))
def test_product_when_written_and_read_then_is_the_same_and_its_judging_keeps_the_rules(
    kind: str, product: str, tiny: Canonical, tmp_path: Path
):
    """Judged in time, cancelled within two seconds, resumed to the same report, within the memory of its method."""
    one, method = load_kind(kind), quickest(kind, product)
    data = one.load(tiny(kind))
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    method.run(data, method.params(), Context(seed=7)).write(first, data)
    one.product(product).read(first).write(second, data)
    assert not {"manifest.json", "report.json", "report.html"} & {file.name for file in first.iterdir()}, (
        "the service's"
    )
    assert hash_of_files(first) == hash_of_files(second)
    live(Judge(kind, product, tiny(kind), first), method.memory_mb, tmp_path)
