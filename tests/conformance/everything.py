"""Imports all that methods need, for the process from which those are forked that run one each."""

import torch
import torch._dynamo  # what making the first optimiser imports

from worker.numerics.compiled import WARM_UPS
from worker.runtime.catalogue import catalogue

torch.set_num_threads(1)
catalogue()  # imports every method, and for the schema of its params every judge
for warm_up in WARM_UPS:  # loops are compiled once and kept, whatever is tried first
    warm_up()
