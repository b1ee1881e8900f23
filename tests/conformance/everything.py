"""Imports all that methods need, for the process from which those are forked that run one each."""

import torch

from worker.runtime.registry import discover

torch.set_num_threads(1)
list(discover())
