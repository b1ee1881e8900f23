"""Webhooks of a whole running service, from an import to the messages about it, through the death of the sender."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from distillery import verify_webhook
from tests.planted import planted_csv
from tests.receiver import receiving
from tests.service import Service

pytestmark = pytest.mark.faults


def test_messages_when_the_dispatcher_is_killed_then_each_arrives_once(tmp_path: Path) -> None:
    allowed = {"outbound_http": True, "outbound_private": True, "outbound_ports": "*", "import_enabled": True}
    with receiving() as receiver, Service(**allowed, webhook_every_s=0.2, warm_spare=False) as service:
        receiver.files["/planted.csv"] = planted_csv(tmp_path / "planted.csv").read_bytes()
        client = service.client
        hook = client.webhooks.create(receiver.url())

        def recorded() -> bool:
            return not client.webhooks.deliveries(hook["id"], state="pending")

        with service.http as http:
            body = {"url": receiver.url("/planted.csv"), "name": "planted", "kind": "interactions"}
            made = http.post("/v1/datasets:import", json=body).raise_for_status().json()
        Service.wait(lambda: len(receiver.received) == 2, 90, "the messages about the import")
        # A sender killed between the answer and its record sends again, with the same id: let it record first.
        Service.wait(recorded, 10, "the messages about the import to be recorded")
        killed = service.pid("dispatcher")
        os.kill(killed, signal.SIGKILL)
        sent = [client.webhooks.test(hook["id"])["id"] for _ in range(5)]
        Service.wait(lambda: len(receiver.received) == 7, 60, "the messages after the kill")
        assert service.pid("dispatcher") != killed
        Service.wait(recorded, 10, "them to be recorded")
        told = [verify_webhook(one.body, one.headers, hook["secret"]) for one in receiver.received]
        assert [one["type"] for one in told[:2]] == ["job.succeeded", "dataset.ready"]
        assert told[1]["data"]["reference"] == made["reference"]
        assert [one.headers["webhook-id"] for one in receiver.received[2:]] == sent
        client.close()
