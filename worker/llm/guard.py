"""What a job may cost: an estimate before the first question, and a count of what was used."""

from __future__ import annotations

from dataclasses import dataclass

from worker.contract.errors import JobError
from worker.llm.backend import Prices


@dataclass
class Guard:
    """Watches over what is spent. None: no limit. `used_in`, `used_out`: tokens until now."""

    prices: Prices | None
    max_cost_usd: float | None = None
    max_tokens: int | None = None
    used_in: int = 0
    used_out: int = 0

    @property
    def cost_usd(self) -> float | None:
        """What was used comes to, in dollars; None without prices."""
        return None if self.prices is None else self.prices.of(self.used_in, self.used_out)

    def check_estimate(self, in_tokens: int, out_tokens: int) -> None:
        """Refuse a job that would go beyond its limits, before it starts. Raises `JobError` `cost_limit`."""
        self._check(self.used_in + in_tokens, self.used_out + out_tokens, "would take about", "Ask about fewer")

    def spend(self, in_tokens: int, out_tokens: int) -> None:
        """Count tokens that were used. Raises `JobError` `cost_limit` once they go beyond a limit."""
        self.used_in += in_tokens
        self.used_out += out_tokens
        self._check(self.used_in, self.used_out, "has taken", "Its estimate was too low; ask about fewer")

    def _check(self, in_tokens: int, out_tokens: int, verb: str, cure: str) -> None:
        tokens = in_tokens + out_tokens
        if self.max_tokens is not None and tokens > self.max_tokens:
            raise JobError(
                "cost_limit",
                f"The job {verb} {tokens:,} tokens; its limit is {self.max_tokens:,}.",
                hint=f"{cure} documents (`prefilter`, `queries`, `max_input_tokens`), or raise `max_tokens`.",
                pointer="/params/max_tokens",
            )
        if self.max_cost_usd is None:
            return
        if self.prices is None:
            raise JobError(
                "cost_limit",
                "No prices are known of this model, so `max_cost_usd` cannot be kept.",
                hint="Limit the job with `max_tokens`, or ask the operator to state the model's prices.",
                pointer="/params/max_cost_usd",
            )
        cost = self.prices.of(in_tokens, out_tokens)
        if cost > self.max_cost_usd:
            raise JobError(
                "cost_limit",
                f"The job {verb} {cost:.4f} US dollars; its limit is {self.max_cost_usd:g}.",
                hint=f"{cure} documents (`prefilter`, `queries`, `max_input_tokens`), or raise `max_cost_usd`.",
                pointer="/params/max_cost_usd",
            )
