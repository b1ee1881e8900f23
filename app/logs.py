"""How every process of the service logs: one JSON object a line, or readable lines when somebody watches a terminal.

Keys that tie lines together: `process`, and where they apply `job_id`, `attempt`, `fence`, `tenant`, `request_id`. The
lines of libraries (uvicorn, Celery, Alembic) pass through here too, and secrets are taken out of all of them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

import structlog
from structlog.typing import EventDict, Processor

from app.settings import Settings

HIDDEN = "***"
_QUIET = ("celery", "kombu", "amqp", "httpx", "httpcore", "alembic.runtime.plugins")  # heard from WARNING on
_SECRET_KEYS = frozenset(
    ("password", "secret", "token", "authorization", "api_key", "secret_key", "cookie", "signature")
)
_PATTERNS = (
    (re.compile(r"(://)[^\s/@]+@"), rf"\1{HIDDEN}@"),  # user and password of an address
    (re.compile(r"\b(dsk_[A-Za-z0-9]+_)[\w-]+"), rf"\1{HIDDEN}"),  # an API key: its id may be known
    (re.compile(r"\b(whsec_)[\w+/=-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(bearer\s+)[^\s\"',;]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # What Postgres adds to an error holds the values of a row.
    (
        re.compile(r"\b((?:DETAIL|CONTEXT): ).*?(?=\n(?:HINT|DETAIL|CONTEXT|\[SQL|\(Background|\n)|\Z)", re.DOTALL),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(r"\b([\w-]*(?:signature|credential|token|secret|password))=[^&\s\"']+", re.IGNORECASE),
        rf"\1={HIDDEN}",
    ),
)
_SUSPECT = re.compile(
    r"://|dsk_|whsec_|bearer|signature|credential|token|secret|password|detail: |context: ", re.IGNORECASE
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LEAST_SECRET = 8  # shorter passwords are words that other lines hold too


def configure(process: str, settings: Settings | None = None, *, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's lines of this process to `stream` (standard error).

    `settings` are those whose passwords and keys must never be shown, however they get into a line.
    """
    out: TextIO = sys.stderr if stream is None else stream
    redact = Redaction(_secrets_of(settings) if settings is not None else ())

    def name_process(_: Any, __: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    def drop_colours(_: Any, __: str, event: EventDict) -> EventDict:
        event.pop("color_message", None)  # uvicorn says everything twice
        return event

    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        name_process,
    ]
    readable = out.isatty()
    json_lines = structlog.processors.JSONRenderer(sort_keys=True)
    last: list[Processor] = [_write_out_controls, structlog.dev.ConsoleRenderer()] if readable else [json_lines]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*first, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), drop_colours],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*first, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


def _write_out_controls(_: Any, __: str, event: EventDict) -> EventDict:
    """Show what would steer a terminal instead of sending it there; line ends of tracebacks stay."""
    return {
        name: _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], value) if isinstance(value, str) else value
        for name, value in event.items()
    }


class Redaction:
    """A structlog processor that replaces secrets by `***`: by key, by shape, and those it was told of."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({secret for secret in secrets if len(secret) >= _LEAST_SECRET}, key=len, reverse=True)

    def __call__(self, _: Any, __: str, event: EventDict) -> EventDict:
        """The event without its secrets."""
        return {name: HIDDEN if name.lower() in _SECRET_KEYS else self._clean(value) for name, value in event.items()}

    def text(self, text: str) -> str:
        """A text without its secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        if _SUSPECT.search(text):  # few texts are, and each pattern takes as long as looking for them all at once
            for pattern, shown in _PATTERNS:
                text = pattern.sub(shown, text)
        return text

    def _clean(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return self(None, "", dict(value))
            case list() | tuple():
                return [self._clean(item) for item in value]
            case bool() | int() | float() | None:
                return value
            case _:
                return self.text(repr(value))


def _secrets_of(settings: Settings) -> list[str]:
    found = [settings.secret, settings.blob_secret_key]  # passwords stand in the addresses, however they came
    for address in (settings.database_url, settings.broker_url):
        password = urlsplit(address).password
        found += [password, unquote(password)] if password else []
    return found
