"""What a method makes for others to use: a summary of any kind, a policy, a tokeniser.

What a method returns decides what happens to it. A `Product` is delivered: written to files, read back from them,
judged in that form, and never without the report. Anything else a method returns are findings, and answer a question.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from worker.contract.context import Context


@dataclass(frozen=True)
class Origin:
    """Where a product comes from.

    `method`: what made it, which is not the job's method where that chose one (`auto`); `reason`: then why.
    `optimised_for`: the learner inside the method's loss, "" where there is none. `settings`: everything that was
    given or chosen, JSON. `curve`: what was measured while it was made, one record a step, JSON numbers; `best_step`:
    the one that was delivered.
    """

    method: str = ""
    reason: str = ""
    optimised_for: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    curve: tuple[Mapping[str, float], ...] = ()
    best_step: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, for the product's own files."""
        return asdict(self) | {"settings": dict(self.settings), "curve": [dict(point) for point in self.curve]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Back from its JSON."""
        fields: dict[str, Any] = {**stored, "curve": tuple(stored["curve"])}
        return cls(**fields)


class Product(ABC):
    """A product of a kind. Concrete ones are dataclasses, listed in their kind's `products`.

    `type`: how manifests name it, unique within the kind. `origin` and `warnings` are fields of every product.
    """

    type: ClassVar[str]
    origin: Origin
    warnings: tuple[str, ...]

    @abstractmethod
    def write(self, folder: Path, data: Any) -> None:
        """Write the delivered files into an empty folder; equal products give equal bytes.

        Its export as canonical files of a dataset version, if it has one, goes below `dataset/`. `data`: the dataset
        it was made of.
        """

    @classmethod
    @abstractmethod
    def read(cls, folder: Path) -> Self:
        """The product back from its files: what is measured is what is delivered."""

    @abstractmethod
    def judge(self, data: Any, params: Any, ctx: Context) -> Any:
        """Measure it on held-out data beside the full data and the cheap alternatives.

        Returns `Measurements` or `Findings` of `worker.evidence`. `params`: the kind's `evaluate` model. Raises
        `TimeOver` when the time for judging ends before anything can be said.
        """
