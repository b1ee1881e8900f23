"""Presigned addresses: the signature is the one that AWS documents and that its own library makes."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.store.signed_urls import Signer

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def test_signature_when_made_for_the_documented_request_then_equals_the_documented_one() -> None:
    # Amazon S3 API reference, "Authenticating Requests: Using Query Parameters", the example of GET test.txt.
    signer = Signer(KEY, SECRET, "us-east-1")
    url = signer.sign("GET", "https://examplebucket.s3.amazonaws.com/test.txt", 86400, at=datetime(2013, 5, 24))
    assert url.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


@pytest.mark.parametrize("token", ["", "temporary/token=="])
def test_signature_when_headers_and_query_are_signed_then_equals_that_of_botocore(token: str) -> None:
    signer = Signer(KEY, SECRET, "eu-west-3", token)
    root = "http://127.0.0.1:9000/bucket/a%20prefix/incoming/ds_1/ab"
    headers = {"Content-Length": "12", "x-amz-checksum-sha256": "YWJj+/=="}
    query = {"response-content-disposition": "attachment; filename*=UTF-8''a%20b.csv"}
    ours = signer.sign("PUT", root, 900, headers=headers, query=query)
    stamp = parse_qs(urlsplit(ours).query)["X-Amz-Date"][0]

    class AtThatTime(S3SigV4QueryAuth):
        def _modify_request_before_signing(self, request) -> None:
            request.context["timestamp"] = stamp
            super()._modify_request_before_signing(request)

    request = AWSRequest("PUT", root, headers=headers, params=query)
    credentials = Credentials(KEY, SECRET, token or None)
    AtThatTime(credentials, "s3", "eu-west-3", expires=900).add_auth(request)
    theirs = request.url
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)


def test_signer_when_only_the_environment_has_keys_then_those_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert Signer.of("", "", "us-east-1") is None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    signer = Signer.of("", "", "us-east-1")
    assert signer == Signer("key", "secret", "us-east-1", "token")
    assert "X-Amz-Security-Token=token" in signer.sign("GET", "https://s3/x", 1, at=datetime(2026, 1, 1, tzinfo=UTC))
