"""What training a teacher costs, for the estimates of the methods that need one."""

from __future__ import annotations

from worker.contract.method import Term

_PIXELS = {"height": 1.0, "width": 1.0}

# Measured on one core: ConvNets of width 32 on 28 pixels see some 1,500 images a second, in training.
TEACHER = (
    Term(5.0),
    Term(100.0, only={"params.preset": "quick"}),
    Term(500.0, only={"params.preset": "standard"}),
    Term(2000.0, only={"params.preset": "paper"}),
)
