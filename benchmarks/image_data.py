"""MNIST as a dataset of the kind `images`, read as an upload is."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.images import dataset, ingest
from worker.kinds.images.dataset import Images


def mnist() -> Images:
    """The official split; a tenth of the training images validate."""
    folder = shared("mnist")
    files = sorted(folder.glob("*-ubyte.gz"))
    out = Path(tempfile.mkdtemp(prefix="mnist-"))
    ingest.ingest([(one.name, one) for one in files], {}, out, Context(), {})
    return dataset.load(out)
