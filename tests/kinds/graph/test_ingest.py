"""Every layout becomes the same graph; every bad upload gets its own refusal, and its cure works."""

from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kinds.graph.uploads import LAYOUTS, csv, graphml, node_link, npz, small
from tests.planted_graph import planted
from tests.shared_data import shared
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.graph.dataset import TEST, TRAIN, VALIDATION, Graph, load, upper
from worker.kinds.graph.features import dense
from worker.kinds.graph.ingest import ingest
from worker.numerics.npz import write_npz


def read(files: list[tuple[str, Path]], out: Path, **options: Any) -> tuple[Graph, dict[str, Any]]:
    out.mkdir(exist_ok=True)
    said = ingest(files, options, out, Context(), {})
    return load(out, transformed=False), said


def refused(files: list[tuple[str, Path]], out: Path, **options: Any) -> JobError:
    with pytest.raises(JobError) as problem:
        read(files, out, **options)
    assert problem.value.hint
    return problem.value


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_layout_when_read_then_is_the_graph(layout: str, tmp_path: Path):
    graph = small()
    found, said = read(LAYOUTS[layout](graph, tmp_path), tmp_path / "out")
    assert (found.adjacency != graph.adjacency).nnz == 0
    assert dense(found.x) == pytest.approx(graph.x)
    assert np.array_equal(found.y, graph.y)
    if layout == "gnn-benchmark":
        assert "random" in said["detection"]["split"]
        assert {part: int((found.split == part).sum()) > 0 for part in (TRAIN, VALIDATION, TEST)} == dict.fromkeys(
            (TRAIN, VALIDATION, TEST), True
        )
    else:
        assert np.array_equal(found.split, graph.split)
    assert said["statistics"]["homophily"] == pytest.approx(
        float((graph.y[upper(graph.adjacency)[0][0]] == graph.y[upper(graph.adjacency)[0][1]]).mean())
    )
    if layout in ("csv", "lists"):
        assert found.classes == ("c0", "c1")
        assert found.names(np.array([3]))[0] == "n3"


def test_layout_when_zipped_then_is_read_as_well(tmp_path: Path):
    graph = small()
    files = csv(graph, tmp_path)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, file in files:
            archive.write(file, f"folder/{name}")
    found, _ = read([("all.zip", tmp_path / "all.zip")], tmp_path / "out")
    assert (found.adjacency != graph.adjacency).nnz == 0


def test_ogb_when_zipped_as_it_is_distributed_then_is_read(tmp_path: Path):
    graph = small()
    files = LAYOUTS["ogb"](graph, tmp_path)
    assert all(name.endswith(".csv.gz") for name, _ in files)
    found, said = read([zipped(tmp_path / "arxiv.zip", files)], tmp_path / "out")
    assert said["detection"]["layout"] == "ogb"
    assert (found.adjacency != graph.adjacency).nnz == 0
    assert dense(found.x) == pytest.approx(graph.x)
    assert np.array_equal(found.split, graph.split)
    second = tmp_path / "random.csv.gz"
    second.write_bytes(dict(files)["split/time/train.csv.gz"].read_bytes())
    several = [*files, ("split/random/train.csv.gz", second)]
    for upload in (several, [zipped(tmp_path / "several.zip", several)]):
        assert "several files train.csv" in refused(upload, tmp_path / "out").detail
    second.write_bytes(gzip.compress(b"0.5\n1.5\n"))
    broken = [(name, second if name.endswith("train.csv.gz") else file) for name, file in files]
    assert "whole numbers of nodes" in refused(broken, tmp_path / "out").detail


def zipped(path: Path, files: list[tuple[str, Path]]) -> tuple[str, Path]:
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files:
            archive.write(file, f"arxiv/{name}")
    return path.name, path


@pytest.mark.parametrize("layout", ["npz", "ogb"])
def test_split_without_a_train_part_then_is_refused_and_not_drawn(layout: str, tmp_path: Path):
    graph = small()
    if layout == "npz":
        write_npz(tmp_path / "a.npz", {name: array for name, array in arrays(graph).items() if name != "train_idx"})
        files = [("a.npz", tmp_path / "a.npz")]
    else:
        files = [one for one in LAYOUTS["ogb"](graph, tmp_path) if "train" not in one[0]]
    problem = refused(files, tmp_path / "out")
    assert "train part is empty" in problem.detail
    assert "split=random" in problem.hint
    found, _ = read(files, tmp_path / "out", split="random")
    assert found.train_counts.min() > 0


def test_structure_features_of_an_inductive_graph_then_know_no_edge_between_parts(tmp_path: Path):
    graph = small()
    without = {name: value for name, value in arrays(graph).items() if name != "x"}
    inside = graph.split[without["edge_index"][0]] == graph.split[without["edge_index"][1]]
    write_npz(tmp_path / "a.npz", without)
    write_npz(tmp_path / "b.npz", {**without, "edge_index": without["edge_index"][:, inside]})
    assert not inside.all()
    found = []
    for name in ("a.npz", "b.npz"):
        found.append(read([(name, tmp_path / name)], tmp_path / f"{name}.out", features="degree_onehot",
                          setting="inductive")[0])  # fmt: skip
    assert (dense(found[0].x) == dense(found[1].x)).all()
    problem = refused([("a.npz", tmp_path / "a.npz")], tmp_path / "out", features="spectral64", setting="inductive")
    assert "degree_onehot" in problem.hint


def arrays(graph: Graph) -> dict[str, Any]:
    both = graph.adjacency.tocoo()
    return {
        "x": graph.x, "edge_index": np.stack([both.row, both.col]).astype(np.int64), "y": graph.y,
        "train_idx": graph.nodes(TRAIN), "val_idx": graph.nodes(VALIDATION), "test_idx": graph.nodes(TEST),
    }  # fmt: skip


def bad(tmp_path: Path, options: dict[str, Any] | None = None, drop: str = "", **changed: Any) -> JobError:
    found = {**arrays(small()), **changed}
    found.pop(drop, None)
    write_npz(tmp_path / "bad.npz", {name: np.asarray(value) for name, value in found.items()})
    return refused([("bad.npz", tmp_path / "bad.npz")], tmp_path / "out", **(options or {}))


def with_(array: np.ndarray, at: Any, value: Any) -> np.ndarray:
    found = array.copy()
    found[at] = value
    return found


def test_bad_numbers_then_each_has_its_refusal(tmp_path: Path):
    graph = small()
    good = arrays(graph)
    e, y, x = good["edge_index"], good["y"], good["x"]
    cases = {
        "not whole numbers": bad(tmp_path, edge_index=e + 0.5),
        "names the node -1": bad(tmp_path, edge_index=with_(e, (0, 0), -1)),
        "names the node 30": bad(tmp_path, edge_index=with_(e, (0, 0), 30)),
        "must be (2, E)": bad(tmp_path, edge_index=e.T),
        "one row for each": bad(tmp_path, x=x[0]),
        "labels for": bad(tmp_path, x=x[:-1], train_idx=[0]),
        "not held in 32 bits": bad(tmp_path, x=with_(x, (0, 0), -1e30)),
        "finite": bad(tmp_path, x=with_(x, (0, 0), np.nan)),
        "not numbers": bad(tmp_path, x=np.full((30, 2), "a")),
        "train part is empty": bad(tmp_path, train_idx=np.zeros(0, np.int64)),
        "No train node has the class": bad(tmp_path, train_idx=graph.nodes(TRAIN)[y[graph.nodes(TRAIN)] == 0]),
        "in another part": bad(tmp_path, val_idx=graph.nodes(TRAIN)[:2]),
        "0 to C - 1": bad(tmp_path, y=y * 5),
        "several labels": bad(tmp_path, y=np.eye(2, dtype=np.int64)[y]),
        "fractions": bad(tmp_path, y=y + 0.25),
        "reach 1e+300": bad(tmp_path, y=y * 1e300),
        "reach 9.22": bad(tmp_path, y=y.astype(np.uint64) + np.uint64(2**63)),
        "no text in UTF-8": bad(tmp_path, y=np.array([b"\xff\xfe", b"\xff\xfd"])[y]),
        "no label": bad(tmp_path, y=with_(y, graph.nodes(TEST)[0], -1)),
        "no features": bad(tmp_path, drop="x"),
        "no labels": bad(tmp_path, drop="y"),
        "no array edge_index": bad(tmp_path, drop="edge_index"),
        "several types": bad(tmp_path, edge_type=np.zeros(e.shape[1], int)),
        "above 0": bad(tmp_path, edge_weight=np.zeros(e.shape[1])),
        "entry for each": bad(tmp_path, drop="train_idx", train_mask=np.ones(7, bool)),
        "no class": bad(tmp_path, y=np.full(30, -1)),
        "counterpart": bad(tmp_path, {"make_undirected": False}, edge_index=e[:, e[0] < e[1]]),
        "train part": bad(tmp_path, {"split": "given"}, drop="train_idx"),
        "three shares": bad(tmp_path, {"split": "random", "split_ratios": [0.9, 0.9, 0.1]}),
        "train nodes of each class": bad(tmp_path, {"split": "random", "test_nodes": 10_000}),
    }  # fmt: skip
    for words, problem in cases.items():
        assert words in problem.detail, (words, problem.detail)
        assert problem.pointer, words


def test_cures_when_followed_then_work(tmp_path: Path):
    good = arrays(small())
    write_npz(tmp_path / "a.npz", {**good, "y": good["y"] * 5})
    found, _ = read([("a.npz", tmp_path / "a.npz")], tmp_path / "a", remap_labels=True)
    assert found.classes == ("0", "5")
    without = {name: value for name, value in good.items() if name != "x"}
    write_npz(tmp_path / "b.npz", without)
    for form in ("degree_onehot", "spectral64"):
        found, _ = read([("b.npz", tmp_path / "b.npz")], tmp_path / form, features=form)
        assert found.n == 30
        assert found.d >= 28
    spectral = dense(found.x)
    assert spectral.T @ spectral == pytest.approx(np.diag(np.diag(spectral.T @ spectral)), abs=1e-4)
    edges = good["edge_index"]
    write_npz(tmp_path / "c.npz", {**good, "edge_index": edges[:, edges[0] < edges[1]]})
    found, said = read([("c.npz", tmp_path / "c.npz")], tmp_path / "c")
    assert (found.adjacency != small().adjacency).nnz == 0
    write_npz(tmp_path / "d.npz", {**good, "edge_index": edges[:, 1:]})
    found, said = read([("d.npz", tmp_path / "d.npz")], tmp_path / "d")
    assert (found.adjacency != small().adjacency).nnz == 0
    assert any("one direction" in text for text in said["warnings"])


def test_edges_when_repeated_looped_and_weighted_then_are_kept_once_with_their_mean(tmp_path: Path):
    good = arrays(small())
    edges = np.array([[0, 1, 0, 2], [1, 0, 1, 2]])
    write_npz(tmp_path / "a.npz", {**good, "edge_index": edges, "edge_weight": np.array([1.0, 2.0, 3.0, 9.0])})
    found, said = read([("a.npz", tmp_path / "a.npz")], tmp_path / "out")
    assert found.edges == 1
    assert found.adjacency[[0]].data == pytest.approx(2.0)
    assert any("self-loops" in text for text in said["warnings"])
    assert any("more than once" in text for text in said["warnings"])


def test_features_when_sparse_then_are_read_and_scaled_to_rows(tmp_path: Path):
    graph = planted(40)
    x = np.where(np.random.default_rng(0).random((40, 50)) < 0.1, 1.0, 0.0).astype(np.float32)
    from scipy import sparse

    words = Graph(sparse.csr_array(x), graph.adjacency, graph.y, graph.split, graph.classes)
    found, said = read(npz(words, tmp_path), tmp_path / "out")
    assert sparse.issparse(found.x)
    assert said["detection"]["normalize"] == "row"
    sums = np.asarray(load(tmp_path / "out").x.sum(axis=1)).ravel()
    assert sums[x.sum(1) > 0] == pytest.approx(1)


def test_standard_then_takes_mean_and_scale_of_train_rows(tmp_path: Path):
    graph = planted(100)
    read(npz(graph, tmp_path), tmp_path / "out")
    found = load(tmp_path / "out")
    assert found.transform.name == "standard"
    assert found.x[found.train].mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert abs(found.x[found.nodes(TEST)].mean(axis=0)).max() > 1e-3


def test_split_when_drawn_then_depends_on_the_seed_alone_and_keeps_counts(tmp_path: Path):
    graph = planted(400, parts=(0.1, 0.1, 0.1))
    files = npz(graph, tmp_path)
    one, _ = read(files, tmp_path / "1", split="random", train_per_class=7, validation_nodes=50, test_nodes=60)
    two, _ = read(files, tmp_path / "2", split="random", train_per_class=7, validation_nodes=50, test_nodes=60)
    other, _ = read(
        files, tmp_path / "3", split="random", train_per_class=7, validation_nodes=50, test_nodes=60, seed=1
    )
    assert np.array_equal(one.split, two.split)
    assert not np.array_equal(one.split, other.split)
    assert one.train_counts.tolist() == [7, 7, 7]
    assert ((one.split == VALIDATION).sum(), (one.split == TEST).sum()) == (50, 60)


@pytest.mark.parametrize("name", ["data.pt", "graphs.bin", "ind.cora.x", "graph.pkl"])
def test_pickles_then_are_refused_and_the_conversion_is_shown(name: str, tmp_path: Path):
    file = tmp_path / name
    if name == "data.pt":
        torch.save({"x": torch.ones(2, 2)}, file)
    elif name == "graphs.bin":
        file.write_bytes(b"\xde\xad\xbe\xef" * 100)
    else:
        file.write_bytes(pickle.dumps({"x": np.ones(3)}, protocol=2))
    problem = refused([(name, file)], tmp_path / "out")
    assert problem.code == ("unsupported" if name == "graphs.bin" else "unsafe_format")
    words = {
        "data.pt": "torch.load",
        "graphs.bin": "dgl.load_graphs",
        "ind.cora.x": "Planetoid",
        "graph.pkl": "numpy.savez",
    }
    assert words[name] in problem.hint


def test_planetoid_as_distributed_then_is_refused(tmp_path: Path):
    folder = shared("cora")
    files = [(file.name, file) for file in sorted(folder.glob("ind.cora.*"))]
    assert "Planetoid" in refused(files, tmp_path / "out").hint


def test_graphml_when_it_declares_entities_then_is_refused_before_they_grow(tmp_path: Path):
    bomb = '<?xml version="1.0"?><!DOCTYPE g [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    (tmp_path / "g.graphml").write_text(bomb + "<graphml><graph><node id='&b;'/></graph></graphml>")
    problem = refused([("g.graphml", tmp_path / "g.graphml")], tmp_path / "out")
    assert problem.code == "unsafe_format"
    outside = '<?xml version="1.0"?><!DOCTYPE g SYSTEM "file:///etc/hostname"><graphml/>'
    (tmp_path / "h.graphml").write_text(outside)
    assert refused([("h.graphml", tmp_path / "h.graphml")], tmp_path / "out").code == "unsafe_format"


def test_ids_when_they_do_not_fit_then_are_named(tmp_path: Path):
    files = csv(small(), tmp_path)
    edges = dict(files)["edges.csv"]
    edges.write_text(edges.read_text() + "n1,nobody\n")
    assert "'nobody'" in refused(files, tmp_path / "out").detail
    nodes = dict(csv(small(), tmp_path))["nodes.csv"]
    nodes.write_text(nodes.read_text() + "n3,c0,train,1,1,1,1\n")
    assert "given twice" in refused(files, tmp_path / "out").detail
    (json_file,) = node_link(small(), tmp_path)
    whole = json.loads(json_file[1].read_text())
    whole["links"].append({"source": 0, "target": "x"})
    json_file[1].write_text(json.dumps(whole))
    assert "'x'" in refused([json_file], tmp_path / "out").detail


def test_unknown_files_then_say_what_to_upload(tmp_path: Path):
    (tmp_path / "a.docx").write_bytes(b"hello there")
    problem = refused([("a.docx", tmp_path / "a.docx")], tmp_path / "out")
    assert "numpy.savez" in problem.hint
    (tmp_path / "nodes.csv").write_text("id,label\n1,2\n")
    refused([("nodes.csv", tmp_path / "nodes.csv")], tmp_path / "out")
    (tmp_path / "edges.csv").write_text("source,target\n1,2\n")
    assert "nodes.csv" in refused([("edges.csv", tmp_path / "edges.csv")], tmp_path / "out").hint


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, Path]]]:
    graph = small()
    found = {}
    for name, write in LAYOUTS.items():
        folder = tmp_path_factory.mktemp(name)
        found[name] = write(graph, folder)
    return found


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_upload_when_mutated_then_is_a_graph_or_refused_with_a_reason(
    data: st.DataObject, originals: dict[str, list[tuple[str, Path]]], tmp_path_factory: pytest.TempPathFactory
):
    """Bytes are changed, cut and repeated anywhere: what comes out is a sound graph or a `JobError`, nothing else."""
    folder = tmp_path_factory.mktemp("mutated")
    files = originals[data.draw(st.sampled_from(sorted(originals)))]
    victim = data.draw(st.integers(0, len(files) - 1))
    written = []
    for place, (name, file) in enumerate(files):
        content = file.read_bytes()
        if place == victim:
            content = mutated(content, data)
        copy = folder / name.replace("/", "_")
        copy.write_bytes(content)
        written.append((name, copy))
    (folder / "out").mkdir()
    try:
        ingest(written, {}, folder / "out", Context(), {})
    except JobError:
        return
    graph = load(folder / "out")
    assert np.isfinite(dense(graph.x)).all()
    assert (graph.adjacency != graph.adjacency.T).nnz == 0
    assert graph.adjacency.diagonal().sum() == 0
    assert (graph.adjacency.data > 0).all()
    assert graph.train_counts.min() > 0
    assert (graph.y[graph.split >= 0] >= 0).all()


def mutated(content: bytes, data: st.DataObject) -> bytes:
    how = data.draw(st.sampled_from(["byte", "cut", "repeat", "swap", "digit"]))
    at = data.draw(st.integers(0, max(0, len(content) - 1)))
    if how == "byte":
        return content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    if how == "cut":
        return content[:at]
    if how == "repeat":
        return content[:at] + content[at // 2 : at] + content[at:]
    if how == "swap":
        return content[at:] + content[:at]
    digits = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    if not digits:
        return content
    at = digits[at % len(digits)]
    return content[:at] + data.draw(st.sampled_from([b"-1", b"99", b"1e309", b"nan", b""])) + content[at + 1 :]


def test_graphml_default_values_then_are_taken(tmp_path: Path):
    ((name, file),) = graphml(small(), tmp_path)
    text = file.read_text().replace(
        '<key id="f0" for="node" attr.name="f0" attr.type="double"/>',
        '<key id="f0" for="node" attr.name="f0" attr.type="double"><default>7</default></key>',
    )
    file.write_text(text.replace(f'<data key="f0">{small().x[2, 0]}</data>', "", 1))
    found, _ = read([(name, file)], tmp_path / "out")
    assert (dense(found.x)[:, 0] == 7).sum() >= 1
