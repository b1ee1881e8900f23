"""Formats that are never opened: those that can carry code, and those we do not read, recognised by content."""

from __future__ import annotations

import pickletools
import re
import zlib
from collections.abc import Iterable

from worker.contract.errors import JobError

EXPORT = (
    "Export the table instead: pandas `df.to_parquet('data.parquet')` or `df.to_csv('data.csv', index=False)`; "
    "arrays with `numpy.savez('data.npz', user=..., item=...)`; a sparse matrix with `scipy.sparse.save_npz`."
)
"""What to do with a file that is not opened."""
_A_TABLE = "Upload a table: CSV, TSV, JSON lines, Parquet, Arrow or npz."
_WORDS = (b"<!doctype html", b"<html", b"<?xml", b"version https://git-lfs")
_UNSUPPORTED = (
    (b"BZh", "bzip2", "Compress with gzip, or upload it unpacked."),
    (b"\xfd7zXZ\x00", "xz", "Compress with gzip, or upload it unpacked."),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", "Upload a zip, or the file unpacked."),
    (b"Rar!\x1a\x07", "RAR", "Upload a zip, or the file unpacked."),
    (
        b"FEA1",
        "Feather of version 1",
        "Write it again, in pandas `pandas.read_feather(path).to_feather('data.feather')`.",
    ),
    (b"Obj\x01", "Avro", "Write Parquet."),
    (b"ORC", "ORC", "Write Parquet."),
    (b"SQLite format 3\x00", "SQLite", "Export the table as CSV or Parquet."),
    (b"RDX", "R data", "Export with `write.csv` or arrow's `write_parquet`."),
    (b"<!doctype html", "a web page, perhaps one that reports an error", _A_TABLE),
    (b"<html", "a web page, perhaps one that reports an error", _A_TABLE),
    (b"<?xml", "XML", _A_TABLE),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file", "Fetch it with `git lfs pull` first."),
    (b"\xff\xfe\x00\x00", "text in UTF-32", "Save it as UTF-8."),
    (b"\x00\x00\xfe\xff", "text in UTF-32", "Save it as UTF-8."),
    (b"%PDF", "PDF", _A_TABLE),
    (b"\x89PNG", "PNG", _A_TABLE),
    (b"\xff\xd8\xff", "JPEG", _A_TABLE),
    (b"\x93NUMPY", "a single npy array", "Save named arrays: `numpy.savez('data.npz', user=..., item=...)`."),
    (b"\xd0\xcf\x11\xe0", "old Excel", "Save the sheet as CSV."),
    (b"\x7fELF", "a program", _A_TABLE),
)
_GLOBAL = re.compile(r"^[A-Za-z_][\w.]* [A-Za-z_][\w.]*$")
_IMPORTS = {"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}


def _refusal(name: str, what: str) -> JobError:
    return JobError("unsafe_format", f"{name} is {what}, which can carry code; it was not opened.", hint=EXPORT)


def refuse_unsafe(name: str, head: bytes, whole: bool) -> None:
    """Raise `JobError` when the first bytes of a file show a format that is unsafe or not read.

    `head`: the first bytes (64 kB are plenty); `whole`: they are the whole file.
    """
    if looks_pickled(head, whole):
        raise _refusal(name, "a Python pickle (also .pt, .joblib)")
    if head[:1] == b"\x78" and head[1:2] in b"\x01\x5e\x9c\xda" and _zlib_pickle(head):
        raise _refusal(name, "a compressed Python pickle (joblib)")
    if head[257:262] == b"ustar":  # one that is the upload itself, compressed or not, was opened
        raise JobError("unsupported", f"{name} is a tar in another archive.", hint="Upload the tar itself, or a zip.")
    beginning = head[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, what, hint in _UNSUPPORTED:
        if head.startswith(magic) or (magic in _WORDS and beginning.lower().startswith(magic)):
            raise JobError("unsupported", f"{name} is {what}, which is not read here.", hint=hint)


def refuse_unsafe_members(name: str, members: Iterable[str]) -> None:
    """Raise `JobError` when the names in a zip show a PyTorch file, a Keras model or a spreadsheet."""
    for member in members:
        base = member.rsplit("/", 1)[-1].lower()
        if base == "data.pkl" or base.endswith((".pkl", ".pickle", ".pt", ".pth", ".joblib")):
            raise _refusal(name, f"an archive that holds a Python pickle ({member[:80]!r})")
        if base.endswith((".weights.h5", ".keras")):
            raise _refusal(name, f"an archive that holds a Keras model ({member[:80]!r})")
        if member == "[Content_Types].xml":
            raise JobError("unsupported", f"{name} is an office document.", hint="Save the sheet as CSV.")


def looks_pickled(head: bytes, whole: bool) -> bool:
    """Whether bytes are a pickle of any protocol, by its opcodes; nothing is ever executed."""
    if head[:1] == b"\x80" and len(head) > 2 and head[1] <= 5:
        return True
    if not head[:1] or head[:1] not in b"(cdil]})}S VIFLNMKJTUX":
        return False
    return _opcodes_import_something(head, whole)


def _opcodes_import_something(head: bytes, whole: bool) -> bool:
    """Protocols 0 and 1 have no magic: their text must parse as opcodes up to a final STOP, and import something.

    Without an import nothing can be called, and the header `label` of a CSV reads as the opcodes LIST, APPEND, BUILD.
    "c" opens a name over two lines, as a CSV may by chance, so a name must be two identifiers.
    """
    imports = False
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(head)):
            if opcode.name in {"GLOBAL", "INST"} and not _GLOBAL.match(str(argument)):
                return False
            imports = imports or opcode.name in _IMPORTS
            if opcode.name == "STOP":
                return imports and (not whole or not head[(position or 0) + 1 :].strip())
            if count > 20_000:
                return imports
    except Exception:
        # genops raises whatever its argument readers raise; an incomplete sample of a long pickle also ends here
        return imports and not whole
    return False


def _zlib_pickle(head: bytes) -> bool:
    try:
        return looks_pickled(zlib.decompressobj().decompress(head, 4096), whole=False)
    except zlib.error:
        return False
