"""The method a user gets who names none: the one that the evidence favours for such images, size and machine.

Where a tenth of the images and more are kept, synthesis loses to real images, and those are kept that small networks
find easy (below a fifth) or hard (above). Large images are cut into the crops that a teacher recognises best, which
optimises nothing. Small ones are learned: by their distribution in random networks where there is a GPU, through the
kernel of a wide perceptron where there is none and few are asked for. What is left is given medoids.
"""

from __future__ import annotations

from dataclasses import replace

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.images.budget import SizeParams, counts_of
from worker.kinds.images.dataset import Images
from worker.kinds.images.summary import ImagesSummary

LARGE_SHARE, SMALL_SHARE = 0.10, 0.01
LARGEST_SIDE, LARGEST_KERNEL, MOST_POINTS = 64, 3_072, 500


class AutoParams(SizeParams):
    """Parameters of `auto`."""


def choice(data: Images, images: int, device: str) -> tuple[str, str]:
    """The method for so many images on this device, and why."""
    share = images / max(1, len(data.train))
    side, values = max(data.shape[1:]), data.shape[0] * data.shape[1] * data.shape[2]
    said = f"{images:,} of {len(data.train):,} training images of {data.shape[2]} x {data.shape[1]} pixels"
    if share >= LARGE_SHARE:
        return "el2n", f"{said}: from a tenth on, made images lose to real ones that are chosen by difficulty"
    if side > LARGEST_SIDE:
        return "rded", f"{said}: above {LARGEST_SIDE} pixels, crops that a teacher recognises are had in minutes"
    if device != "cpu" and share < SMALL_SHARE:
        return "dm", f"{said}, on a GPU: below a hundredth, matching distributions in canvases of four keeps most"
    if values <= LARGEST_KERNEL and images <= MOST_POINTS:
        return "kip-fc", f"{said}: small images, and few of them, are learned exactly through a kernel, in minutes"
    why = f"more than {MOST_POINTS}" if values <= LARGEST_KERNEL else f"of more than {LARGEST_KERNEL:,} numbers each"
    return "k-medoids", f"{said}: {why}, for which learning images takes long on this machine"


@method(
    kind="images",
    task="distil",
    name="auto",
    version=1,
    device="any",
    memory_mb=3072,
    cost=Cost(seconds=(Term(5.0), Term(5e-5, {"budget": 1, "values": 1}), Term(4e-6, {"images": 1, "values": 1}))),
)
def auto(data: Images, params: AutoParams, ctx: Context) -> ImagesSummary:
    """What images, size and machine ask for: kernel, distribution matching, crops, medoids; the report says why."""
    name, why = choice(data, int(counts_of(data, params).sum()), ctx.device)
    summary = _made(name, data, params.model_dump(), ctx)
    return replace(summary, origin=replace(summary.origin, reason=f"{why}, so `auto` chose {name}."))


def _made(name: str, data: Images, size: dict[str, object], ctx: Context) -> ImagesSummary:
    if name == "el2n":
        from worker.kinds.images.methods.el2n import EL2NParams, el2n_images

        return el2n_images(data, EL2NParams.model_validate(size), ctx)
    if name == "rded":
        from worker.kinds.images.methods.rded import RDEDParams, rded

        factor = 1 if any(side % 2 for side in data.shape[1:]) else 2  # tiles fill a canvas
        return rded(data, RDEDParams.model_validate(size | {"factor": factor}), ctx)
    if name == "dm":
        from worker.kinds.images.methods.dm import DMParams, dm

        return dm(data, DMParams.model_validate(size | {"discrepancy": "cf", "parameterisation": "multiform"}), ctx)
    if name == "kip-fc":
        from worker.kinds.images.methods.kip_fc import KipParams, kip_fc

        return kip_fc(data, KipParams.model_validate(size), ctx)
    from worker.kinds.images.methods.k_medoids import KMedoidsParams, k_medoids

    return k_medoids(data, KMedoidsParams.model_validate(size), ctx)
