"""Files that can carry code are never opened; here is how each becomes an archive that is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source, expand
from worker.ingest.unsafe import looks_pickled
from worker.ingest.upload import Files

PYG = (
    "Save the tensors as an npz: `data = torch.load('data.pt', weights_only=False); data = data[0] if isinstance(data, "
    "tuple) else data; numpy.savez('graph.npz', **{k: data[k].numpy() for k in ('x', 'edge_index', 'y', 'train_mask', "
    "'val_mask', 'test_mask') if k in data})`, and upload graph.npz."
)
PLANETOID = (
    "Read it where you trust it and save an npz: `from torch_geometric.datasets import Planetoid; d = Planetoid('.', "
    "'Cora')[0]; numpy.savez('graph.npz', x=d.x, edge_index=d.edge_index, y=d.y, train_mask=d.train_mask, "
    "val_mask=d.val_mask, test_mask=d.test_mask)`. It also fills in the test ids that Citeseer lacks (15 nodes without "
    "a label: say y=-1 for them)."
)
DGL = (
    "Export the arrays: `g = dgl.load_graphs('graphs.bin')[0][0]; src, dst = g.edges(); masks = {k: g.ndata[k].bool() "
    "for k in ('train_mask', 'val_mask', 'test_mask')}; numpy.savez('graph.npz', x=g.ndata['feat'], "
    "edge_index=numpy.stack([src, dst]), y=g.ndata['label'], **masks)`, and upload graph.npz."
)
OTHER = (
    "Save arrays: `numpy.savez('graph.npz', x=x, edge_index=edge_index, y=y, train_idx=train, val_idx=validation, "
    "test_idx=test)`."
)


def opened(files: Files, meter: Meter) -> list[Source]:
    """The files of an upload, archives opened; refuses pickles in any disguise, and shows the conversion."""
    try:
        found = expand(files, meter)
    except JobError as problem:
        if problem.code != "unsafe_format":
            raise
        raise JobError(
            problem.code, problem.detail, hint=conversion(_names(files)), pointer=problem.pointer
        ) from problem
    for source in found:
        head, whole = source.head(meter)
        if looks_pickled(head, whole):
            raise JobError(
                "unsafe_format",
                f"{source.name} is a Python pickle, which can carry code; it was not opened.",
                hint=conversion([one.name for one in found]),
                pointer="/files",
            )
        if PurePosixPath(source.name).suffix == ".bin":
            raise JobError(
                "unsupported", f"{source.name} is a binary file of another library.", hint=DGL, pointer="/files"
            )
    return found


def conversion(names: Sequence[str]) -> str:
    """How files of these names become an archive that is read."""
    bases = [PurePosixPath(name).name.lower() for name in names]
    if any(base.startswith("ind.") for base in bases):
        return PLANETOID
    if any(base.endswith((".pt", ".pth", ".zip")) for base in bases):
        return PYG
    return DGL if any(base.endswith(".bin") for base in bases) else OTHER


def _names(files: Files) -> list[str]:
    return [file.name if not isinstance(file, tuple) else file[0] for file in files]
