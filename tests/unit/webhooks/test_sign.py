"""Signatures are those of Standard Webhooks."""

from __future__ import annotations

import base64

import pytest

from app.webhooks.sign import new_secret, signature, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_signature_when_of_the_published_example_then_the_published_one() -> None:
    made = signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "changed", [("msg_2", 1, b"{}"), ("msg_1", 2, b"{}"), ("msg_1", 1, b"{ }")], ids=["id", "time", "body"]
)
def test_signature_when_anything_differs_then_another(changed: tuple[str, int, bytes]) -> None:
    assert signature(SECRET, *changed) != signature(SECRET, "msg_1", 1, b"{}")


def test_secret_when_made_then_32_random_bytes_with_the_prefix() -> None:
    made = [new_secret() for _ in range(20)]
    assert len(set(made)) == 20
    assert all(len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) == 32 for one in made)


def test_headers_when_two_secrets_count_then_two_signatures_newest_first() -> None:
    new = new_secret()
    headers = signed_headers([new, SECRET], "msg_1", 7, b"{}")
    expected = [signature(new, "msg_1", 7, b"{}"), signature(SECRET, "msg_1", 7, b"{}")]
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "7",
        "webhook-signature": " ".join(expected),
    }
