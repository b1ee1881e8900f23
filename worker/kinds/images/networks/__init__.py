"""Networks of images in plain torch, small enough to be trained many times, through which double backward works.

`build` makes one by its name. All of them are a `Network`: `features` and a linear `head` on them.
"""

from worker.kinds.images.networks.build import NAMES, build
from worker.kinds.images.networks.layers import Network, Norm

__all__ = ["NAMES", "Network", "Norm", "build"]
