"""Options of NAME=VALUE words: after `--column`, `-o` or `-p` several may follow, as in `--column user=0 item=1`."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


class Assignments(TyperCommand):
    """A command whose repeatable options take one or more NAME=VALUE words each."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option in front of every further word, which is what the parser knows how to read."""
        repeatable = {flag for one in self.params if getattr(one, "multiple", False) for flag in one.opts}
        return super().parse_args(ctx, spread(args, repeatable))


def spread(args: list[str], repeatable: set[str]) -> list[str]:
    """`--column a=1 b=2 file` becomes `--column a=1 --column b=2 file` for the options in `repeatable`."""
    found: list[str] = []
    option, words = "", 0
    for word in args:
        if word.startswith("-"):
            option, words = (word, 0) if word in repeatable else ("", 0)
        elif option and words and _ASSIGNMENT.fullmatch(word):
            found.append(option)
        elif words:
            option = ""
        words += not word.startswith("-")
        found.append(word)
    return found
