"""Every form of upload comes to the same version, and what is wrong with one is said."""

from __future__ import annotations

import gzip
import json
import pickle
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.kinds.labels.planted import LABELS, documents, label_records, raw_files, write_json, xc_files
from tests.kinds.labels.uploaded import ingested, refused, written
from worker.kinds.labels.dataset import TEST, TRAIN, VALIDATION

TRAINING = documents(60, 1)


def own_labels(data, row: int) -> list[int]:
    return data.targets.indices[data.targets.indptr[row] : data.targets.indptr[row + 1]].tolist()


def test_raw_files_when_ingested_then_text_labels_and_split_are_kept(tmp_path: Path):
    data, said = ingested(raw_files(tmp_path / "up"), tmp_path / "v")
    assert data.targets.shape == (400, LABELS)
    assert [int((data.split == part).sum()) for part in (TRAIN, VALIDATION, TEST)] == [270, 30, 100]
    first = documents(1, 1)[0]
    place = list(data.ids).index(first["uid"])
    assert own_labels(data, place) == first["target_ind"]
    assert data.titles[place] == first["title"]
    assert data.bodies[place] == first["content"]
    assert data.label_titles[3] == "topic 3"
    assert said["statistics"]["labels_per_document"]["max"] == 3
    assert said["preview"][0]["labels"]


def test_xc_matrices_when_gzipped_then_are_what_they_are_plain(tmp_path: Path):
    plain = xc_files(tmp_path / "up")
    packed = []
    for name, path in plain:
        target = tmp_path / f"{name}.gz"
        target.write_bytes(gzip.compress(path.read_bytes()))
        packed.append((target.name, target))
    one, _ = ingested(plain, tmp_path / "a")
    other, _ = ingested(packed, tmp_path / "b")
    assert (one.features != other.features).nnz == 0
    assert (one.targets != other.targets).nnz == 0
    assert one.features.shape == (400, 300)
    assert list(one.label_titles)[:2] == ["topic 0", "topic 1"]


def test_libsvm_rows_when_ingested_then_equal_the_matrices(tmp_path: Path):
    matrices, _ = ingested(xc_files(tmp_path / "up"), tmp_path / "a")
    lines = {"train": [], "test": []}
    for row in np.concatenate([matrices.rows(TRAIN, VALIDATION), matrices.rows(TEST)]):
        cells = slice(matrices.features.indptr[row], matrices.features.indptr[row + 1])
        pairs = zip(matrices.features.indices[cells], matrices.features.data[cells], strict=True)
        labels = ",".join(map(str, own_labels(matrices, row)))
        text = f"{labels} " + " ".join(f"{index}:{value:g}" for index, value in pairs)
        lines["test" if matrices.split[row] == TEST else "train"].append(text)
    bare = written(tmp_path / "bare", **{f"{name}__txt": "\n".join(rows) + "\n" for name, rows in lines.items()})
    headed = written(
        tmp_path / "headed",
        **{f"{name}__txt": f"{len(rows)} 300 {LABELS}\n" + "\n".join(rows) for name, rows in lines.items()},
    )
    for name, files in (("bare", bare), ("headed", headed)):
        data, said = ingested(files, tmp_path / f"v-{name}")
        assert (data.targets != matrices.targets).nnz == 0
        width = data.features.shape[1]
        assert (data.features != matrices.features[:, :width]).nnz == 0
        assert "libsvm" in said["detection"]["format"]


def arff_text(records, sparse: bool, option: str = "") -> str:
    head = [f"@relation 'catalogue{option}'", "@attribute length numeric", "@attribute 'kind of' {a,b,c}"]
    head += [f"@attribute 'topic {label}' {{0,1}}" for label in range(LABELS)]
    rows = []
    for number, record in enumerate(records):
        own, kind = record["target_ind"], "abc"[number % 3]
        if sparse:
            cells = [f"0 {len(record['content'])}", f"1 {kind}", *(f"{label + 2} 1" for label in own)]
            rows.append("{" + ", ".join(cells) + "}")
        else:
            flags = ",".join("1" if label in own else "0" for label in range(LABELS))
            rows.append(f"{len(record['content'])},{kind},{flags}")
    return "\n".join([*head, "", "@data", *rows]) + "\n"


XML = (
    "<?xml version='1.0'?>\n<labels>"
    + "".join(f"<label name='topic {n}'></label>" for n in range(LABELS))
    + "</labels>"
)


def test_arff_when_dense_or_sparse_by_xml_or_meka_option_then_is_the_same(tmp_path: Path):
    forms = {
        "dense": {"mulan-train__arff": arff_text(TRAINING, False), "mulan__xml": XML},
        "sparse": {"mulan-train__arff": arff_text(TRAINING, True), "mulan__xml": XML},
        "meka": {"meka-train__arff": arff_text(TRAINING, False, f": -C -{LABELS}")},
    }
    versions = {
        name: ingested(written(tmp_path / name, **files), tmp_path / f"v-{name}")[0] for name, files in forms.items()
    }
    first = versions["dense"]
    assert first.features.shape == (60, 4)  # a length, and a column for each of three kinds
    assert sorted(own_labels(first, 0)) == TRAINING[0]["target_ind"]
    assert first.label_titles[1] == "topic 1"
    for other in versions.values():
        assert (first.targets != other.targets).nnz == 0
        assert (first.features != other.features).nnz == 0


def test_arff_when_nothing_says_which_attributes_are_labels_then_is_refused(tmp_path: Path):
    problem = refused(written(tmp_path / "up", train__arff=arff_text(TRAINING, False)), tmp_path / "v")
    assert "XML" in problem.hint


def test_xml_when_it_declares_entities_then_is_refused(tmp_path: Path):
    bomb = "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aa'>]><labels><label name='&a;'/></labels>"
    files = written(tmp_path / "up", train__arff=arff_text(TRAINING, False), catalogue__xml=bomb)
    assert refused(files, tmp_path / "v").code == "unsafe_format"


@pytest.mark.parametrize("form", ["pipe", "json list", "python list", "parquet list", "jsonl list", "jsonl joined"])
def test_tables_when_labels_are_joined_or_lists_then_are_the_same_version(form: str, tmp_path: Path):
    rows = [{"text": one["content"], "tags": [f"topic {n}" for n in one["target_ind"]]} for one in TRAINING]
    joined = {
        "pipe": lambda tags: "|".join(tags), "json list": json.dumps, "python list": repr,
        "jsonl joined": lambda tags: "; ".join(tags),
    }  # fmt: skip
    path = tmp_path / {"parquet list": "d.parquet", "jsonl list": "d.jsonl", "jsonl joined": "d.jsonl"}.get(
        form, "d.csv"
    )
    if form == "parquet list":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif form == "jsonl list":
        write_json(path, rows)
    elif form == "jsonl joined":
        write_json(path, [row | {"tags": joined[form](row["tags"])} for row in rows])
    else:
        cells = [f'{row["text"]},"{joined[form](row["tags"]).replace(chr(34), chr(34) * 2)}"' for row in rows]
        path.write_text("\n".join(["text,tags", *cells]) + "\n")
    data, said = ingested([(path.name, path)], tmp_path / "v")
    names = sorted({name for row in rows for name in row["tags"]})
    assert list(data.label_titles) == names
    for row in (0, 17, 59):
        assert [names[label] for label in own_labels(data, row)] == sorted(rows[row]["tags"])
        assert data.bodies[row] == rows[row]["text"]
    assert "drawn at random" in said["detection"]["split"]
    parted = {"pipe": "'|'", "jsonl joined": "';'"}.get(form)
    assert parted is None or f"labels parted by {parted}" in said["detection"]["format"]


def test_table_when_it_has_a_split_column_and_label_text_then_both_are_taken(tmp_path: Path):
    lines = ["title,labels,split"]
    for number, record in enumerate(TRAINING):
        tags = ";".join(f"topic {label}" for label in record["target_ind"])
        lines.append(f"{record['title']},{tags},{['train', 'train', 'valid', 'test'][number % 4]}")
    labels = ["label,text"] + [f"{one['title']},{one['content']}" for one in label_records()]
    files = written(tmp_path / "up", documents__csv="\n".join(lines), labels__csv="\n".join(labels))
    data, _ = ingested(files, tmp_path / "v")
    assert [int((data.split == part).sum()) for part in (TRAIN, VALIDATION, TEST)] == [30, 15, 15]
    assert data.label_bodies[0] in {one["content"] for one in label_records()}


def test_pairs_when_filtered_then_are_neither_truth_nor_prediction(tmp_path: Path):
    files = raw_files(tmp_path / "up")
    barred = documents(100, 2)[5]["target_ind"][0]
    files += written(tmp_path / "up", filter_labels_test__txt=f"5 {barred}\n5 {(barred + 1) % LABELS}\n")
    data, said = ingested(files, tmp_path / "v")
    test = data.part(TEST)
    assert said["statistics"]["barred_pairs"] == 2
    assert test.barred[5].nnz == 2
    assert barred not in test.targets[5].indices
    assert barred in data.everything.take(data.rows(TEST)).targets[5].indices


def test_documents_without_labels_when_uploaded_then_are_left_out_and_counted(tmp_path: Path):
    records = documents(80, 1)
    for record in records[:7]:
        record["target_ind"], record["target_rel"] = [], []
    data, said = ingested([("trn.json", write_json(tmp_path / "trn.json", records))], tmp_path / "v")
    assert len(data) == 73
    assert any("7 of 80 documents have no label" in text for text in said["warnings"])


def test_relevance_when_zero_then_the_label_is_none(tmp_path: Path):
    records = documents(60, 1)
    records[0] |= {"target_ind": [3, 5], "target_rel": [0.0, 2.0]}
    data, _ = ingested([("trn.json", write_json(tmp_path / "trn.json", records))], tmp_path / "v")
    assert own_labels(data, list(data.ids).index(records[0]["uid"])) == [5]


def test_documents_when_on_both_sides_of_a_given_split_then_are_counted(tmp_path: Path):
    train, test = documents(80, 1), documents(40, 2)
    for mine, theirs in zip(test[:6], train[:6], strict=True):
        mine |= {"title": theirs["title"], "content": theirs["content"]}
    files = [
        ("trn.json", write_json(tmp_path / "trn.json", train)),
        ("tst.json", write_json(tmp_path / "tst.json", test)),
    ]
    _, said = ingested(files, tmp_path / "v", {"validation_share": 0.001})
    assert said["statistics"]["test_documents_in_training"] == 6
    assert any("6 test documents" in text for text in said["warnings"])


def test_documents_when_split_is_drawn_then_equal_ones_share_a_part(tmp_path: Path):
    records = documents(100, 1)
    twins = [record | {"uid": f"twin-{record['uid']}"} for record in records]
    data, said = ingested([("trn.json", write_json(tmp_path / "trn.json", records + twins))], tmp_path / "v")
    assert said["statistics"]["test_documents_in_training"] == 0
    assert (data.split[:100] == data.split[100:]).all()
    assert (data.split == TEST).any()


def test_labels_when_validation_leaves_them_one_training_document_then_are_not_asked_for_there(tmp_path: Path):
    records = documents(200, 1)
    for at, record in enumerate(records):
        record["target_ind"] = sorted({*record["target_ind"], LABELS + at // 2})
        record["target_rel"] = [1.0] * len(record["target_ind"])
    labels = [*label_records(), *({"uid": f"r{n}", "title": f"rare {n}", "content": ""} for n in range(100))]
    files = [
        ("trn.json", write_json(tmp_path / "trn.json", records)),
        ("lbl.json", write_json(tmp_path / "lbl.json", labels)),
    ]
    data, said = ingested(files, tmp_path / "v", {"validation_share": 0.3})
    rare = (data.train.counts < 2) & (np.arange(data.labels) >= LABELS)
    asked = data.part(VALIDATION)
    assert rare.any()
    assert asked.counts[rare].sum() == 0
    assert not asked.candidates[rare].any()
    assert data.part(TEST).candidates.all()
    assert said["statistics"]["labels_not_validated"] > 0


REFUSED = {
    "index beyond the header": (
        {"trn_X_Xf__txt": "1 3\n5:1\n", "trn_X_Y__txt": "1 2\n0:1\n"},
        "Line 2 of trn_X_Xf.txt",
    ),
    "fewer rows than the header says": ({"trn_X_Xf__txt": "3 3\n1:1\n", "trn_X_Y__txt": "1 2\n0:1\n"}, "says 3 rows"),
    "halves of unlike length": ({"trn_X_Xf__txt": "1 3\n1:1\n", "trn_X_Y__txt": "2 2\n0:1\n1:1\n"}, "1 documents, but"),
    "features without labels": ({"trn_X_Xf__txt": "1 3\n1:1\n"}, "labels of trn_X_Xf.txt"),
    "labels without features": ({"trn_X_Y__txt": "1 3\n1:1\n"}, "features of trn_X_Y.txt"),
    "not finite": ({"trn_X_Xf__txt": "1 3\n1:nan\n", "trn_X_Y__txt": "1 2\n0:1\n"}, "not a finite number"),
    "two colons": ({"trn__txt": "0,1 1:2:3 4\n" * 5}, ""),
    "no name": ({"matrix__txt": "1 3\n1:1\n"}, "does not say which matrix"),
    "label beyond the label file": (
        {"trn__json": json.dumps({"title": "a", "target_ind": [7]}), "lbl__json": json.dumps({"title": "x"})},
        "Line 1 of trn.json names the label 7, but lbl.json has 1",
    ),
    "targets that are no list": ({"trn__json": json.dumps({"title": "a", "target_ind": "7"})}, "target_ind"),
    "no text": ({"d__csv": "labels,number\na|b,3\nc,4\n"}, "holds the text"),
    "no labels": ({"d__csv": "text,number\nabc,3\nde,4\n"}, "No labels column"),
    "too few": ({"d__csv": "text,labels\nabc,x|y\nde,x\n"}, "2 documents have labels"),
    "names of other labels": ({"trn__txt": "1 1:2\n" * 5, "labels__txt": "only one\n"}, "text of 1 labels"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_upload_when_it_cannot_be_right_then_is_refused_with_file_and_cure(name: str, tmp_path: Path):
    files, said = REFUSED[name]
    problem = refused(written(tmp_path / "up", **files), tmp_path / "v")
    assert said in problem.detail
    assert problem.hint


def test_pickle_when_uploaded_then_is_never_opened(tmp_path: Path):
    problem = refused(written(tmp_path / "up", trn_X_Y__txt=pickle.dumps({"a": print})), tmp_path / "v")
    assert problem.code == "unsafe_format"


def test_upload_when_larger_than_the_limits_then_is_refused(tmp_path: Path):
    with pytest.raises(Exception, match="above the limit"):
        ingested(raw_files(tmp_path / "up"), tmp_path / "v", decoded_bytes=1000)
    with pytest.raises(Exception, match="above the limit"):
        ingested(xc_files(tmp_path / "xc"), tmp_path / "w", rows=10)


@pytest.mark.parametrize("values", ["0,1", "1,0", "FALSE,TRUE", "TRUE,FALSE", "no,yes", "-1,1"])
@pytest.mark.parametrize("sparse", [False, True])
def test_arff_labels_count_by_what_cells_say_however_their_values_are_declared(
    values: str, sparse: bool, tmp_path: Path
):
    words = values.split(",")
    absent, present = sorted(words, key=lambda word: word.lower() in ("1", "true", "yes"))
    lines = ["@relation 'x: -C -2'", "@attribute f numeric", f"@attribute rare {{{values}}}",
             f"@attribute often {{{values}}}", "@data"]  # fmt: skip
    for row in range(40):
        own = [present if has else absent for has in (row % 4 == 0, row % 4 != 0)]
        if sparse:  # the value that was declared first is not written
            cells = ", ".join([f"0 {row + 1}", *(f"{at} {cell}" for at, cell in enumerate(own, 1) if cell != words[0])])
            lines.append(f"{{{cells}}}")
        else:
            lines.append(f"{row + 1},{own[0]},{own[1]}")
    data, _ = ingested(written(tmp_path / "up", a__arff="\n".join(lines)), tmp_path / "v")
    assert data.everything.counts.tolist() == [10, 30]


def test_arff_labels_of_more_than_two_values_are_refused(tmp_path: Path):
    lines = ["@relation 'x: -C -1'", "@attribute f numeric", "@attribute stars {0,1,2}", "@data"]
    lines += [f"{row},{row % 3}" for row in range(40)]
    problem = refused(written(tmp_path / "up", a__arff="\n".join(lines)), tmp_path / "v")
    assert "Line 7" in problem.detail
    assert "one attribute for each" in problem.hint


def test_arff_cells_of_many_blanks_are_read_in_no_time(tmp_path: Path):
    lines = ["@relation 'x: -C -2'", "@attribute f string", "@attribute a {0,1}", "@attribute b {0,1}", "@data"]
    lines += [f"word{' ' * 60_000}word,{row % 2},1" for row in range(20)]
    started = time.monotonic()
    data, _ = ingested(written(tmp_path / "up", a__arff="\n".join(lines)), tmp_path / "v")
    assert len(data) == 20
    assert time.monotonic() - started < 20  # hours, where blanks are gone through from every blank anew


def test_documents_with_neither_words_nor_features_are_refused(tmp_path: Path):
    records = [{"uid": str(number), "target_ind": [number % 3]} for number in range(40)]
    problem = refused([("trn.json", write_json(tmp_path / "trn.json", records))], tmp_path / "v")
    assert "words or features" in problem.detail


def test_features_that_are_written_as_nought_are_not_there(tmp_path: Path):
    rows = "".join(f"{row % 3} 0:{row + 1} 1:0 2:1\n" for row in range(40))
    data, _ = ingested(written(tmp_path / "up", rows__txt=rows), tmp_path / "v")
    assert data.features.nnz == 80
    assert (data.features.data > 0).all()


def test_a_propensity_that_would_be_infinite_is_refused(tmp_path: Path):
    problem = refused(raw_files(tmp_path / "up"), tmp_path / "v", {"propensity_b": 0})
    assert "propensity_b" in (problem.pointer or "") + problem.detail


@pytest.mark.parametrize("weight", [0, -1, "2", True, 1e12])
def test_weights_of_documents_that_are_no_positive_numbers_are_refused(weight, tmp_path: Path):
    records = documents(60, 1)
    records[3]["weight"] = weight
    problem = refused([("trn.json", write_json(tmp_path / "trn.json", records))], tmp_path / "v")
    assert "Line 4" in problem.detail
    assert "weight" in problem.detail


def test_a_label_of_a_huge_number_is_refused_before_it_takes_memory(tmp_path: Path):
    records, labels = documents(60, 1), label_records()
    records[7] |= {"target_ind": [2**31 - 2], "target_rel": [1.0]}
    files = [
        ("trn.json", write_json(tmp_path / "trn.json", records)),
        ("lbl.json", write_json(tmp_path / "lbl.json", labels)),
    ]
    tracemalloc.start()
    try:
        assert "Line 8 of trn.json names the label 2,147,483,646" in refused(files, tmp_path / "v").detail
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_arff_values_beyond_single_precision_are_refused(tmp_path: Path):
    lines = ["@relation 'x: -C -2'", "@attribute f numeric", "@attribute a {0,1}", "@attribute b {0,1}", "@data"]
    lines += [f"{'1e300' if row == 2 else row},{row % 2},1" for row in range(40)]
    assert "Line 8" in refused(written(tmp_path / "up", a__arff="\n".join(lines)), tmp_path / "v").detail
