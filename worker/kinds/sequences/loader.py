"""The loader that travels with a summary of sequences."""

from __future__ import annotations

LOADER = '''"""Load this summary. Rows of items need numpy alone:

    import load
    load.rows[0]                  # item numbers in order; load.vocabulary says their ids

Soft forms are read with torch:

    data = load.SoftSequences()
    read, target = data[0]        # (L,) item numbers or (L, V) probabilities that are read; (L, V) of what comes next
    each = F.cross_entropy(model(read), target, reduction="none")      # probability targets
    weight = data.weights(0)                                           # (L,), how much each place counts
    loss = (weight * each).sum() / weight.sum()
    vectors = read if read.dim() == 1 else read @ model.items.weight   # soft events are mixtures of item vectors
"""
import json, pathlib
import numpy as np

here = pathlib.Path(__file__).resolve().parent
form, soft = %(form)r, %(soft)r  # the primary form, and the first soft one
vocabulary = json.loads((here / "vocab.json").read_text(encoding="utf-8"))
recipe = json.loads((here / "recipe.json").read_text(encoding="utf-8"))


def arrays(form=form):
    with np.load(here / f"summary_{form}.npz") as file:
        return {name: file[name] for name in file.files}


def load_rows():
    if (here / "summary_hard.npz").exists():
        stored = arrays("hard")
        return np.split(stored["items"].astype("i8"), np.cumsum(stored["lengths"].astype("i8"))[:-1])
    index = {item: number for number, item in enumerate(vocabulary)}
    lines = (here / "hard.jsonl").read_text(encoding="utf-8").split("\\n")
    return [np.array([index[item] for item in json.loads(line)["items"]]) for line in lines if line]


class SoftSequences:
    """Rows of soft events: `self[i]` is what is read and the probabilities of what comes next, at every place."""

    def __init__(self, form=soft, device="cpu"):
        if form in (None, "hard"):
            raise ValueError("rows of items are in load.rows; this reads soft forms")
        import torch

        stored = arrays(form)
        self.torch, self.device, self.items = torch, device, len(vocabulary)
        self.bounds = np.concatenate(([0], np.cumsum(stored["lengths"].astype("i8"))))
        self.stored = stored
        self.tied = any(name.startswith("events.") for name in stored)  # what is read is what is predicted
        for name in [name for name in stored if name.endswith(".core")]:
            core, rows, places = (stored[name[:-4] + one].astype("f4") for one in ("core", "sequences", "places"))
            by_row = (rows @ core.reshape(len(core), -1)).reshape(len(rows), *core.shape[1:])
            stored[name[:-4] + "latent"] = np.matmul(places, by_row).reshape(-1, core.shape[2])

    def __len__(self):
        return len(self.bounds) - 1

    def weights(self, i):
        """How much each place of row i counts, (L,)."""
        start, stop = int(self.bounds[i]), int(self.bounds[i + 1])
        stored = self.stored.get("weight")
        found = np.ones(stop - start, "f4") if stored is None else stored[start:stop].astype("f4")
        return self.torch.as_tensor(found, device=self.device)

    def _side(self, side, at):
        part = {name.split(".")[2]: value for name, value in self.stored.items() if name.startswith(side + ".")}
        if "items" in part:
            return self.torch.as_tensor(part["items"][at].astype("i8"), device=self.device)
        if "latent" in part:
            decoder = part.get("decoder", self.stored.get("targets.LowRank.decoder"))
            to = lambda a: self.torch.as_tensor(a.astype("f4"), device=self.device)
            logits = to(part["latent"][at]) @ to(decoder)
            if "bias" in part:
                logits = logits + to(part["bias"])
            return (logits / float(part["tau"])).softmax(-1)
        share = part["share"][at].astype("f4")
        total = share.sum(1, keepdims=True)
        table = np.zeros((len(share), self.items), "f4")
        if "spread" in part:
            share = share / np.maximum(total, 1)
            table += np.clip(1 - share.sum(1, keepdims=True), 0, None) * part["spread"].astype("f4")
        else:
            share = share / total
        np.add.at(table, (np.arange(len(share))[:, None], part["ids"][at]), share)
        return self.torch.as_tensor(table, device=self.device)

    def __getitem__(self, i):
        at = slice(int(self.bounds[i]), int(self.bounds[i + 1]))
        if self.tied:
            events = self._side("events", slice(at.start + i, at.stop + i + 1))
            return events[:-1], events[1:]
        return self._side("inputs", at), self._side("targets", at)


rows = load_rows()
'''
