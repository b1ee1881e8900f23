"""How the receiver of a webhook knows that the service sent it. Needs nothing but the standard library."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from distillery.errors import UnverifiedWebhook


def verify_webhook(body: bytes, headers: Mapping[str, str], secret: str, *, tolerance_s: float = 300.0) -> Any:
    """The document of a message, once it is certain that the service sent it lately; for receivers.

    `body`: the very bytes that came; `headers`: those of the request, names in any case; `secret`: the endpoint's
    `whsec_…`. Raises `UnverifiedWebhook` when the signature (Standard Webhooks, HMAC-SHA256) is not of this secret,
    or the message is more than `tolerance_s` seconds old. Drop what has a `webhook-id` that was seen before:
    messages come at least once.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = given["webhook-id"], int(given["webhook-timestamp"])
        signatures = given["webhook-signature"].split(" ")
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (KeyError, ValueError, binascii.Error):
        raise UnverifiedWebhook("The headers or the secret of the message are not those of a webhook.") from None
    if abs(time.time() - timestamp) > tolerance_s:
        raise UnverifiedWebhook("The message is too old, or a clock is wrong.")
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    expected = f"v1,{base64.b64encode(digest).decode()}".encode()
    if not any(hmac.compare_digest(signature.encode(), expected) for signature in signatures):
        raise UnverifiedWebhook("The message is not signed with this secret.")
    return json.loads(body)
