"""Budgets that a version cannot have: the bounds that are named can be asked for."""

from __future__ import annotations

import pytest

from app.jobs.budgets import need_possible_budget
from app.jobs.errors import Refused


def test_budget_when_a_part_is_held_out_then_bounded_by_what_is_for_training():
    counted = {"documents": 1500, "documents_train": 1280}
    need_possible_budget({"budget": 1279}, {}, "documents", counted)
    for budget in (1280, 1400, "100%"):
        with pytest.raises(Refused, match="1280 documents for training") as refused:
            need_possible_budget({"budget": budget}, {}, "documents", counted)
        assert "between 1 and 1279 documents" in refused.value.hint
    with pytest.raises(Refused, match="1500 documents"):
        need_possible_budget({"budget": 1500}, {}, "documents", {"documents": 1500})
