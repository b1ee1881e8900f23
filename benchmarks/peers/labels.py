"""napkinXC's PLT and PECOS's XR-Linear on the same rows, one thread. An environment of its own:

    python3 -m venv peers && peers/bin/pip install "numpy<2" "scipy<1.12" scikit-learn gdown requests tqdm
    peers/bin/pip install --no-deps napkinxc==0.7.2 libpecos==1.2.8

Run by `benchmarks/labels.py` with a folder of train_x, test_x and train_y; leaves a ranking of five labels each.
"""

import json
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import sparse


def napkinxc(x, y, test):
    from napkinxc.models import PLT

    with tempfile.TemporaryDirectory() as folder:
        model = PLT(folder, threads=1, seed=0)
        started = time.process_time()
        model.fit(x, [y.indices[y.indptr[row] : y.indptr[row + 1]].tolist() for row in range(y.shape[0])])
        fit = time.process_time() - started
        model.load()
        started = time.process_time()
        found = model.predict(test, top_k=5)
        each = (time.process_time() - started) / test.shape[0]
    return np.array([[*row, *[-1] * (5 - len(row))] for row in found], np.int32), fit, each


def xr_linear(x, y, test):
    from pecos.xmc import Indexer, LabelEmbeddingFactory
    from pecos.xmc.xlinear.model import XLinearModel

    started = time.process_time()
    features = LabelEmbeddingFactory.create(y, x, method="pifa")
    chain = Indexer.gen(features, indexer_type="hierarchicalkmeans", threads=1)
    model = XLinearModel.train(x, y, C=chain, threads=1)
    fit = time.process_time() - started
    started = time.process_time()
    scores = model.predict(test, only_topk=5, threads=1).tocsr()
    each = (time.process_time() - started) / test.shape[0]
    found = np.full((test.shape[0], 5), -1, np.int32)
    for row in range(test.shape[0]):
        at = slice(scores.indptr[row], scores.indptr[row + 1])
        order = np.argsort(-scores.data[at], kind="stable")[:5]
        found[row, : len(order)] = scores.indices[at][order]
    return found, fit, each


def main(folder):
    x, test, y = (
        sparse.load_npz(folder / f"{name}.npz").astype(np.float32) for name in ("train_x", "test_x", "train_y")
    )
    found = {"versions": {name: version(name) for name in ("napkinxc", "libpecos")}}
    for name, run in (("napkinxc-plt", napkinxc), ("pecos-xr-linear", xr_linear)):
        labels, fit, each = run(x, y, test)
        np.save(folder / f"{name}.npy", labels)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000  # of both, for the second
        found[name] = {"fit_cpu_s": round(fit, 1), "predict_cpu_ms": round(1000 * each, 3), "peak_mb": round(peak)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
