"""A summary of an interactions dataset: a few user rows, real or synthetic, that stand for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

FORMS = ("soft", "hard", "soft8", "soft4")


@dataclass(frozen=True)
class InteractionsSummary:
    """What a distil or select job delivers, before it is written to files.

    `rows`: CSR float32 (n, I), values in (0, 1], the delivered primary form, of the name `form` (`soft`,
    `hard`, or `soft8` and `soft4`, soft in 8 and 4 bits). `hard`: the same rows as 0/1 (n, I). `item_ids`
    (I,): the dataset's item ids as strings. `forms`: further delivered forms, by name; each is judged.
    `settings`: what the method did and chose, JSON only. `real_rows`: the rows are rows of real users,
    whose ids are `row_ids` (n,).
    """

    rows: sparse.csr_array
    hard: sparse.csr_array
    item_ids: np.ndarray
    form: str = "hard"
    forms: dict[str, sparse.csr_array] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    real_rows: bool = False
    warnings: tuple[str, ...] = ()
    row_ids: np.ndarray | None = None

    def __post_init__(self) -> None:
        """ValueError when a form does not fit the items, has values outside (0, 1], or is called by another
        name."""
        if self.form not in FORMS or not set(self.forms) <= set(FORMS):
            raise ValueError(f"the forms of a summary are {', '.join(FORMS)}")
        for name, rows in {self.form: self.rows, "hard": self.hard, **self.forms}.items():
            if rows.shape != (self.n_rows, len(self.item_ids)):
                raise ValueError(f"form {name}: {rows.shape} is not rows x items {self.n_rows, len(self.item_ids)}")
            if not ((rows.data > 0) & (rows.data <= 1)).all():
                raise ValueError(f"form {name} has values outside (0, 1]")

    @classmethod
    def of_users(
        cls,
        rows: sparse.csr_array,
        item_ids: np.ndarray,
        *,
        settings: dict[str, Any] | None = None,
        row_ids: np.ndarray | None = None,
    ) -> InteractionsSummary:
        """A summary made of the rows (n, I) 0/1 of real users."""
        rows = sparse.csr_array(rows, dtype=np.float32)
        return cls(rows, rows, item_ids, "hard", settings=dict(settings or {}), real_rows=True, row_ids=row_ids)

    @property
    def n_rows(self) -> int:
        """User rows n."""
        return self.rows.shape[0]

    @property
    def n_events(self) -> int:
        """Stored events of the primary form."""
        return self.rows.nnz

    def delivered(self) -> dict[str, sparse.csr_array]:
        """Every delivered form by name, the primary one first."""
        return {self.form: self.rows} | {name: rows for name, rows in self.forms.items() if name != self.form}
