"""Why a request about a job is turned down."""

from __future__ import annotations


class Refused(Exception):
    """A request that cannot be granted; the API renders it as a problem document.

    `code`: a documented problem code; `detail`: one sentence; `hint`: the cure; `pointer`: JSON pointer of the field.
    """

    def __init__(self, code: str, detail: str, *, hint: str = "", pointer: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.pointer = pointer
