"""The ways work ends early: for a reason the user can act on, because a stop was asked for, or because time is up."""

from __future__ import annotations

from worker.contract.text import storable


class JobError(Exception):
    """A job cannot go on, for a reason worth telling the user.

    `code` is a documented problem code (`invalid_input`, `budget_too_large`, ...), `detail` one sentence about
    what is wrong, `hint` one sentence about the cure, `pointer` a JSON pointer to the field at fault.
    """

    def __init__(self, code: str, detail: str, *, hint: str = "", pointer: str = "") -> None:
        super().__init__(storable(detail))
        self.code = code
        self.detail = storable(detail)
        self.hint = storable(hint)
        self.pointer = pointer

    def __reduce__(self) -> tuple[type[JobError], tuple[str, str], dict[str, str]]:
        """It may be raised in another process."""
        return type(self), (self.code, self.detail), {"hint": self.hint, "pointer": self.pointer}


class Cancelled(Exception):
    """The job was asked to stop (by its user, or because its worker goes away); raised by `Context.progress`."""


class TimeOver(Exception):
    """The time for judging is over: what was measured until now is what there is; raised by `Context.progress`."""
