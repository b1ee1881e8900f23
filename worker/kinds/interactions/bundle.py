"""A summary as files for any program, and back: what is read is, bit for bit, what was measured.

    summary.inter       0/1 rows as events under a typed header (RecBole's): synth_0001 or the real user's id
    summary_soft.npz    the soft form, 8-bit codes with a scale per row unless another form was asked for
    summary_float.npz   the float32 form, when the one above is quantised
    item_map.csv        column number -> item id
    mask.npy            which training events were kept, for a selection of real rows
    load.py             a loader that needs numpy and scipy only
    summary.json        form, ridge, settings
    dataset/            the 0/1 rows as canonical files of a dataset version, all of them training events

The same summary gives the same bytes: archives carry a fixed time, and nothing depends on the clock.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from scipy import sparse

from worker.kinds.interactions.dataset import Interactions, load, save
from worker.kinds.interactions.export import LEVELS, codes, decode, sorted_rows
from worker.kinds.interactions.splits import TRAIN
from worker.kinds.interactions.summary import InteractionsSummary
from worker.numerics.npz import write_npz

Rows = sparse.csr_array
FORMAT = "distillery-interactions"
VERSION = 1
_FORMULA = "=+-@\t\r'"  # a spreadsheet would run a cell that starts so; the quote itself keeps the escape reversible

LOADER = '''"""Load this summary: `rows` is a users x items matrix, `items` the item id of each column."""
import csv, pathlib
import numpy as np
from scipy import sparse

here = pathlib.Path(__file__).resolve().parent
with open(here / "item_map.csv", newline="", encoding="utf-8") as lines:
    items = [i[1:] if i.startswith("'") else i for i in (line["item_id"] for line in csv.DictReader(lines))]


def load(file=%(file)r):
    if file.endswith(".inter"):  # 0/1 rows
        with open(here / file, newline="", encoding="utf-8") as lines:
            pairs = [line[:2] for line in list(csv.reader(lines, delimiter="\\t"))[1:]]
        users, columns = {}, {item: column for column, item in enumerate(items)}
        at = [(users.setdefault(user, len(users)), columns[item]) for user, item in pairs]
        return sparse.csr_matrix((np.ones(len(at), "f4"), np.array(at).T), (len(users), len(items)))
    with np.load(here / file) as z:
        if "codes" in z:  # a dense table of codes times the scale of each row
            codes = z["codes"]
            if z["bits"] == 4:
                codes = np.stack([codes >> 4, codes & 15], 2).reshape(len(codes), -1)[:, : len(items)]
            return sparse.csr_matrix(codes * z["scale"][:, None])
        rows = sparse.csr_matrix((z["data"].astype("f4"), z["indices"], z["indptr"]), z["shape"])
        return (sparse.diags(z["scale"]) @ rows).tocsr()


rows = load()
'''


def write(summary: InteractionsSummary, folder: Path, data: Interactions | None = None) -> None:
    """Write all files of a summary into `folder`, which is made if need be.

    With `data`, the dataset it was made of, items carry their titles, and a selection of real rows its
    `mask.npy`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    forms = {summary.form: summary.rows, **summary.forms}
    files = {"hard": "summary.inter"}
    soft = [form for form in ("soft8", "soft4", "soft") if form in forms]
    for number, form in enumerate(soft):
        files[form] = "summary_float.npz" if number else "summary_soft.npz"
        write_npz(folder / files[form], form_arrays(forms[form], form))
    ids = row_ids(summary)
    _write_inter(folder / "summary.inter", summary.hard, ids, summary.item_ids)
    titles = None if data is None else data.titles
    _write_items(folder / "item_map.csv", summary.item_ids, titles)
    (folder / "load.py").write_text(LOADER % {"file": files[summary.form]}, encoding="utf-8")
    about = {
        "format": FORMAT,
        "version": VERSION,
        "form": summary.form,
        "forms": [[form, files[form]] for form in forms],
        "rows": int(summary.rows.shape[0]),
        "items": int(summary.rows.shape[1]),
        "real_rows": summary.real_rows,
        "lambda": summary.settings.get("lambda"),
        "settings": summary.settings,
        "warnings": list(summary.warnings),
    }
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    write_dataset(summary, ids, titles, folder / "dataset")
    if data is not None and summary.real_rows:
        np.save(folder / "mask.npy", training_mask(data, summary))


def read(folder: Path) -> InteractionsSummary:
    """The summary back from its files. Raises `ValueError` for files that are not such a bundle."""
    about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise ValueError(f"{folder} is not a bundle of this kind and version")
    stored = load(folder / "dataset")
    hard = sorted_rows(stored.train)
    forms = {form: hard if form == "hard" else read_form(folder / file) for form, file in about["forms"]}
    return InteractionsSummary(
        rows=forms.pop(about["form"]),
        hard=hard,
        item_ids=stored.item_ids,
        form=about["form"],
        forms=forms,
        settings=about["settings"],
        real_rows=about["real_rows"],
        warnings=tuple(about["warnings"]),
        row_ids=stored.user_ids if about["real_rows"] else None,
    )


def form_arrays(rows: Rows, form: str) -> dict[str, np.ndarray]:
    """The arrays of one soft form: CSR with a scale per row, or a dense table of codes where that is smaller.

    `bits` 4 packs two codes a byte, the first in the high half. Codes are recomputed from the decoded values.
    """
    rows = sorted_rows(rows)
    scale = np.ones(rows.shape[0], np.float32)
    if form in LEVELS:
        rows, scale = codes(rows, LEVELS[form])
        bits = 4 if form == "soft4" else 8
        index = 2 if rows.shape[1] <= 1 << 16 else 4
        if rows.shape[0] * rows.shape[1] * bits / 8 <= rows.nnz * (1 + index):
            table = rows.toarray()
            if bits == 4:
                table = np.pad(table, ((0, 0), (0, table.shape[1] % 2)))
                table = (table[:, ::2] << 4) | table[:, 1::2]
            return {"codes": table, "scale": scale, "bits": np.array(bits, np.int64)} | _shape(rows)
    indices = rows.indices.astype(np.uint16 if rows.shape[1] <= 1 << 16 else np.uint32)
    pointers = rows.indptr.astype(np.int64)
    return {"data": rows.data, "indices": indices, "indptr": pointers, "scale": scale} | _shape(rows)


def _shape(rows: Rows) -> dict[str, np.ndarray]:
    return {"shape": np.array(rows.shape, np.int64)}


def read_form(file: Path) -> Rows:
    """The decoded rows (n, I) float32 of one soft form."""
    with np.load(file, allow_pickle=False) as stored:
        shape = tuple(int(size) for size in stored["shape"])
        if "codes" in stored:
            table = stored["codes"]
            if int(stored["bits"]) == 4:
                table = np.stack([table >> 4, table & 15], axis=2).reshape(len(table), -1)[:, : shape[1]]
            return decode(Rows(table), stored["scale"])
        indices, indptr = stored["indices"].astype(np.int32), stored["indptr"].astype(np.int32)
        return decode(Rows((stored["data"], indices, indptr), shape=shape), stored["scale"])


def row_ids(summary: InteractionsSummary) -> np.ndarray:
    """User id of each row: the real one, or synth_0001, synth_0002, ..."""
    if summary.row_ids is not None:
        return np.asarray(summary.row_ids, dtype=str)
    width = max(4, len(str(summary.rows.shape[0])))
    return np.array([f"synth_{number:0{width}d}" for number in range(1, summary.rows.shape[0] + 1)])


def _write_inter(file: Path, rows: Rows, users: np.ndarray, items: np.ndarray) -> None:
    rows = sorted_rows(rows)
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    with file.open("w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out, delimiter="\t", lineterminator="\n")
        lines.writerow(["user_id:token", "item_id:token", "rating:float"])
        lines.writerows(zip(users[owner], items[rows.indices], (f"{value:g}" for value in rows.data), strict=True))


def _write_items(file: Path, items: np.ndarray, titles: np.ndarray | None) -> None:
    columns = [items] if titles is None else [items, titles]
    with file.open("w", newline="", encoding="utf-8") as out:
        # RFC 4180 line ends: with "\n" alone the module leaves cells with a carriage return unquoted, and what follows
        # the return would then begin a cell, unescaped.
        lines = csv.writer(out, lineterminator="\r\n")
        lines.writerow(["index", "item_id", "title"][: 1 + len(columns)])
        for number, cells in enumerate(zip(*columns, strict=True)):
            lines.writerow([number, *(escape_formula(str(cell)) for cell in cells)])


def escape_formula(text: str) -> str:
    """A leading quote for cells that a spreadsheet would take for a formula."""
    return "'" + text if text[:1] in _FORMULA and text else text


def unescape_formula(text: str) -> str:
    """The reverse of `escape_formula`."""
    return text[1:] if text.startswith("'") else text


def write_dataset(summary: InteractionsSummary, users: np.ndarray, titles: np.ndarray | None, folder: Path) -> None:
    """The 0/1 rows as canonical files of a dataset version, every event in the training part."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = sorted_rows(summary.hard)
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    split = np.full(rows.nnz, TRAIN)
    save(
        Interactions.from_columns(owner, rows.indices, split, user_ids=users, item_ids=summary.item_ids, titles=titles),
        folder,
    )


def training_mask(data: Interactions, summary: InteractionsSummary) -> np.ndarray:
    """Which of the dataset's training events (in the order of its file) are in a summary of real rows; bool."""
    number = {user: row for row, user in enumerate(data.user_ids.tolist())}
    rows = sorted_rows(summary.hard)
    users = np.array([number[user] for user in row_ids(summary).tolist()], dtype=np.int64)
    kept = np.repeat(users, np.diff(rows.indptr)) * data.n_items + rows.indices
    events = data.events.take(data.events.split == TRAIN)
    return np.isin(events.user.astype(np.int64) * data.n_items + events.item, kept)
