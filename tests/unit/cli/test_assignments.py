"""Several NAME=VALUE words after one option."""

from __future__ import annotations

import pytest

from distillery.cli.assignments import spread

REPEATABLE = {"--column", "-o"}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("f.csv --column user=0 item=1", "f.csv --column user=0 --column item=1"),
        ("--column user=0 --column item=1 f.csv", "--column user=0 --column item=1 f.csv"),
        ("-o split=clean dedup=last f.csv --kind k", "-o split=clean -o dedup=last f.csv --kind k"),
        ("--name a=b c=d", "--name a=b c=d"),
        ("--column user=0 f.csv x=1", "--column user=0 f.csv x=1"),
        ("a=1.csv --kind k", "a=1.csv --kind k"),
    ],
)
def test_words_when_they_follow_a_repeatable_option_then_belong_to_it(given: str, meant: str):
    assert spread(given.split(), REPEATABLE) == meant.split()
