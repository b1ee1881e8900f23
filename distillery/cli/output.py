"""What a command prints: one JSON document, or text for people; and how it fails.

stdout carries the answer and nothing else; progress and errors go to stderr.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TextIO, TypeVar

import typer

from distillery._terminal import plain, plain_json
from distillery.errors import APIError, DistilleryError, JobError

Command = TypeVar("Command", bound=Callable[..., Any])
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, the same as the API's.")]
CreatedAfter = Annotated[str | None, typer.Option(help="Only what is newer than this, as 2026-01-05T09:30:00Z.")]

_INTERRUPTED = 130


def failing_well(command: Command) -> Command:
    """Turn errors into exit code 1 with one sentence and its hint; with --json also the problem on stdout."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:
            raise  # nobody reads on: `main` ends quietly
        except (DistilleryError, OSError, ValueError) as error:
            fail(error, as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt:
            say("Interrupted.", file=sys.stderr)
            raise typer.Exit(_INTERRUPTED) from None

    return wrapped  # type: ignore[return-value]


def fail(error: Exception, *, as_json: bool) -> None:
    """Say what went wrong and leave with exit code 1."""
    if as_json:
        emit_json(problem_of(error))
    say(f"Error: {error}", file=sys.stderr)
    for one in error.errors if isinstance(error, APIError) else []:
        if one.get("detail") != error.args[0]:
            say(f"  {one.get('pointer', '')}: {one.get('detail', '')}", file=sys.stderr)
    if hint := getattr(error, "hint", ""):
        say(f"Hint: {hint}", file=sys.stderr)
    raise typer.Exit(1)


def problem_of(error: Exception) -> dict[str, Any]:
    """An error as a problem document; the service's own where it comes from the service."""
    if isinstance(error, APIError):
        return dict(error.problem)
    if isinstance(error, JobError):
        said = {"code": error.code, "detail": error.detail, "hint": error.hint, "job": error.job["id"]}
        return {"type": f"/problems/{error.code}", "title": type(error).__name__, **said}
    hint = getattr(error, "hint", "")
    return {"type": "about:blank", "title": type(error).__name__, "detail": str(error), "hint": hint}


def emit_json(document: Any) -> None:
    """The one document of a command."""
    print(plain_json(json.dumps(document, indent=2, ensure_ascii=False)))


def say(text: str = "", *, file: TextIO | None = None, flush: bool = False) -> None:
    """A line for people. Everything a command says goes this way, for names, ids and texts may be anybody's."""
    print(plain(text), file=file, flush=flush)


def items(found: Sequence[Any]) -> dict[str, Any]:
    """A whole list, as the API gives its last page."""
    return {"items": list(found), "next_page_token": ""}


def size(count: int) -> str:
    """Bytes for people: 812 B, 1.23 MB; empty for none."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{_three_digits(value)} {unit}" if unit != "B" else f"{count} B" if count else ""


def seconds(value: float) -> str:
    """A duration for people: 0.042 s, 25.3 s, 4.2 min, 3.1 h."""
    if value < 0.001:
        return "< 0.001 s"
    for bound, part, unit in ((120, 1, "s"), (7200, 60, "min")):
        if value < bound:
            return f"{_three_digits(value / part)} {unit}"
    return f"{_three_digits(value / 3600)} h"


def _three_digits(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def minute(time: str) -> str:
    """A time of the API to the minute, in UTC: 2026-01-05 09:30."""
    return time[:16].replace("T", " ")


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE words as a mapping; ValueError for a word without =."""
    found: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise ValueError(f"{option} takes NAME=VALUE, not {word!r}.")
        found[name] = value
    return found


def repeated(words: Sequence[str], option: str) -> dict[str, str | list[str]]:
    """NAME=VALUE words as a mapping; a name that comes several times has all its values, in order."""
    found: dict[str, str | list[str]] = {}
    for word in words:
        for name, value in pairs([word], option).items():
            before = found.get(name)
            found[name] = value if before is None else [*([before] if isinstance(before, str) else before), value]
    return found


def values(words: Sequence[str], option: str) -> dict[str, Any]:
    """NAME=VALUE words with each value read as JSON where it is JSON, as text where it is not."""
    return {name: parsed(value) for name, value in pairs(words, option).items()}


def parsed(text: str) -> Any:
    """A value from the command line: 5, 0.1, true, null, [1, 2] and {"a": 1} as JSON, all else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
