"""The arrays of a graph as a user downloads them, how many bytes they take, and the loader that travels with them."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.kinds.graph.features import Features
from worker.numerics.npz import npz_bytes

LOADER = '''"""Load this condensed graph: `x` (n, d), `edge_index` (2, E), `edge_weight` (E,), `y` (n,) and, where
labels are soft, `y_soft` (n, C). `tensors()` gives them as torch tensors, `pyg()` as a torch_geometric Data.

Edges lie in both directions, without self-loops. A graph without edges is trained with the identity in the place of
the normalised adjacency. What `transform` does must be done to the features of the ORIGINAL graph before predicting
on it.
"""
import json, pathlib
import numpy as np
from safetensors.numpy import load_file

here = pathlib.Path(__file__).resolve().parent
arrays = load_file(here / "condensed.safetensors")


def _features():
    if "x" in arrays:
        return arrays["x"]
    n, d = arrays["x_shape"]
    x = np.zeros((n, d), np.float32)
    x[np.repeat(np.arange(n), np.diff(arrays["x_indptr"])), arrays["x_indices"]] = arrays["x_data"]
    return x


def transform(original):
    """The features of the original graph, dense (N, d), as networks trained on this graph expect them."""
    done = json.loads((here / "transform.json").read_text())
    if done["name"] == "row":
        sums = np.abs(original).sum(1, keepdims=True)
        return (original / np.where(sums > 0, sums, 1)).astype(np.float32)
    if done["name"] == "standard":
        return ((original - np.array(done["mean"])) / np.array(done["scale"])).astype(np.float32)
    return original


x = _features()
edge_index = arrays["edge_index"].astype(np.int64)
edge_weight = arrays.get("edge_weight", np.ones(edge_index.shape[1], np.float32))
y = arrays["y"].astype(np.int64)
y_soft = arrays.get("y_soft")
weight = arrays.get("node_weight", np.ones(len(y), np.float32))
train_mask = arrays["train_mask"]


def tensors():
    import torch

    found = dict(x=x, edge_index=edge_index, edge_weight=edge_weight, y=y, weight=weight, train_mask=train_mask)
    if y_soft is not None:
        found["y_soft"] = y_soft
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in found.items()}


def pyg():
    from torch_geometric.data import Data

    return Data(**tensors())
'''

README = '''# A condensed graph

{nodes} nodes that stand for {all} ({rate_of_all:.3%} of all nodes, {rate:.3%} of the train nodes), made by `{method}`.
{edges}

```python
import torch
import load  # in this folder

data = load.tensors()
x, y = data["x"], data["y"]
n, classes = len(y), {classes}
target = data.get("y_soft", torch.nn.functional.one_hot(y.clamp(min=0), classes).float())


def normalised(edge_index, weight, n):
    """D^-1/2 (A + I) D^-1/2: self-loops are added here, once."""
    loops = torch.arange(n)
    rows, columns = torch.cat([edge_index[0], loops]), torch.cat([edge_index[1], loops])
    values = torch.cat([weight, torch.ones(n)])
    degree = torch.zeros(n).index_add_(0, rows, values)
    values = values / (degree[rows] * degree[columns]).sqrt()
    return torch.sparse_coo_tensor(torch.stack([rows, columns]), values, (n, n)).coalesce()


first, second = torch.nn.Linear(x.shape[1], 256), torch.nn.Linear(256, classes)
optimiser = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.01, weight_decay=5e-4)
a = normalised(data["edge_index"], data["edge_weight"], n)  # the identity where there are no edges
labelled = data["train_mask"]
for epoch in range(300):
    h = torch.relu(a @ first(x))
    logits = a @ second(h)
    per_node = -(target * logits.log_softmax(1)).sum(1)
    loss = (data["weight"] * per_node)[labelled].sum() / data["weight"][labelled].sum()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
print("training accuracy", (logits.argmax(1) == y)[labelled].float().mean().item())
```

To predict, take the ORIGINAL graph: its features through `load.transform`, its own edges through `normalised`, and the
two layers above. With torch_geometric, `load.pyg()` is a `Data`.
'''


def arrays(
    x: Features,
    adjacency: sparse.csr_array | None,
    y: np.ndarray,
    *,
    soft: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    source: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The arrays by name. Features are stored dense or as CSR, whichever takes fewer bytes; edges in both directions,
    int32; `edge_weight` only where a weight is not 1."""
    found = features(x)
    rows = sparse.csr_array((len(y), len(y)), dtype=np.float32) if adjacency is None else sparse.csr_array(adjacency)
    rows.sort_indices()
    owner = np.repeat(np.arange(len(y), dtype=np.int32), np.diff(rows.indptr))
    found["edge_index"] = np.stack([owner, rows.indices.astype(np.int32)])
    if rows.nnz and not bool((rows.data == 1).all()):
        found["edge_weight"] = rows.data.astype(np.float32)
    found["y"] = y.astype(np.int32)
    found["train_mask"] = y >= 0
    for name, array in (("y_soft", soft), ("node_weight", weight)):
        if array is not None:
            found[name] = array.astype(np.float32)
    if source is not None:
        found["node_source"] = source.astype(np.int32)
    return found


def features(x: Features) -> dict[str, np.ndarray]:
    """The arrays of features, dense or CSR, whichever takes fewer bytes."""
    n, d = x.shape
    filled = x.nnz if sparse.issparse(x) else int(np.count_nonzero(x))
    if 8 * filled + 4 * (n + 1) >= 4 * n * d:
        return {"x": x.toarray() if sparse.issparse(x) else np.ascontiguousarray(x, dtype=np.float32)}
    rows = sparse.csr_array(x, dtype=np.float32)
    rows.eliminate_zeros()
    rows.sort_indices()
    return {
        "x_data": rows.data,
        "x_indices": rows.indices.astype(np.int32),
        "x_indptr": rows.indptr.astype(np.int32),
        "x_shape": np.array(rows.shape, np.int64),
    }


def features_from(stored: dict[str, np.ndarray]) -> Features:
    """Features back from their arrays: dense, or CSR where they are stored so."""
    if "x" in stored:
        return stored["x"]
    parts = (stored["x_data"], stored["x_indices"], stored["x_indptr"])
    return sparse.csr_array(parts, shape=tuple(stored["x_shape"].tolist()))


def plain_bytes(found: dict[str, np.ndarray]) -> int:
    """Bytes of the arrays as they lie in memory."""
    return sum(array.nbytes for array in found.values())


def compressed_bytes(found: dict[str, np.ndarray]) -> int:
    """Bytes of the arrays after lossless compression (deflate)."""
    return len(npz_bytes(found))
