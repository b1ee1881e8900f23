"""Imports all that methods need, for the process from which those are forked that run one each."""

import torch

from worker.runtime.catalogue import catalogue

torch.set_num_threads(1)
catalogue()  # imports every method, and for the schema of its params every judge
