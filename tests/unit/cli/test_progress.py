from __future__ import annotations

import io

import pytest

from distillery import _progress
from distillery._downloading import Downloaded
from distillery._progress import PlainLines, described, reporter
from distillery._uploading import Uploaded


def progress(fraction: float, phase: str = "fit") -> dict[str, object]:
    return {"type": "progress", "data": {"phase": phase, "fraction": fraction, "metrics": {"loss": 0.12345}}}


def test_lines_when_phase_goes_on_then_come_once_in_a_while() -> None:
    out = io.StringIO()
    lines = PlainLines("job", out)
    for what in [{"type": "created"}, progress(0.1), progress(0.2), progress(0.3, "judge"), {"type": "succeeded"}]:
        lines(what)
    assert out.getvalue().splitlines() == [
        "job: queued",
        "job: fit  10 %  loss 0.1235",
        "job: judge  30 %  loss 0.1235",
        "job: succeeded 100 %",
    ]


def test_lines_when_nothing_is_heard_for_long_then_say_again_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    lines = PlainLines("job", out)
    lines(progress(0.1))
    now[0] += 4.0
    assert lines.remind() == 1.0
    now[0] += 1.5
    assert lines.remind() == 5.0
    assert out.getvalue().splitlines() == ["job: fit  10 %  loss 0.1235", "job: fit, for 6 s"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"before": 0, "workers": 1}, "queued, next"),
        ({"before": 1, "workers": 1}, "queued, 1 of your jobs before it"),
        ({"before": 7}, "queued, 7 of your jobs before it"),
        ({"before": 0, "workers": 0}, "queued, and no worker is up that could run it"),
    ],
)
def test_waiting_when_described_then_says_what_for(data: dict[str, int], words: str) -> None:
    assert described({"type": "waiting", "data": data})[0] == words


def test_reporter_when_function_is_given_then_hands_it_everything() -> None:
    told: list[object] = []
    with reporter(told.append, "x") as report:
        report({"type": "log"})
    assert told == [{"type": "log"}]


def test_reporter_when_in_a_terminal_then_draws_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with reporter(True, "job", out) as report:
        report(progress(0.5))
        report({"type": "warning", "data": {"text": "short [rows]"}})
    assert "job: fit" in out.getvalue()
    assert "warning: short [rows]" in out.getvalue()


def test_transfer_when_described_then_says_how_much() -> None:
    assert described(Uploaded(1_500_000, 3_000_000, "a.csv")) == ("sending a.csv", 0.5, "1.5 MB")
    assert described(Downloaded(0, None, "a")) == ("fetching a", None, "0.0 MB")
