# SPDX-License-Identifier: BSD-3-Clause
"""What is really said, held against the AsyncAPI document: WebSockets and server-sent events."""

import asyncio
import json
from collections import Counter
from typing import Any

import aiohttp
import jsonschema_rs
import pytest

from pyaiot.protocols.coap_numbers import Code
from scripts.reference.asyncapi import document
from tests.clients import Broker
from tests.coap_device import Reply, coap_device
from tests.running import running_everything

pytestmark = pytest.mark.sockets


def validator(message: str) -> jsonschema_rs.Draft202012Validator:
    """Of the payload of one of the document's messages. Fields that it does not name are wrong."""
    api = json.loads(document())
    for schema in api["components"]["schemas"].values():
        schema.setdefault("additionalProperties", False)
    payload = api["components"]["messages"][message]["payload"]
    return jsonschema_rs.Draft202012Validator({**payload, "components": api["components"]})


class Events:
    """Reads a stream of events, each of which must be in the document."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self._schema = validator("event")

    async def read(self, stream: aiohttp.ClientResponse) -> None:
        """Until one that says `out`."""
        async for line in stream.content:
            if line.startswith(b"data: "):
                message = json.loads(line[6:])
                self._schema.validate(message)
                self.kinds[message["type"]] += 1
                if message["type"] == "out":
                    return


async def test_what_clients_hear_and_say_is_in_the_document() -> None:
    heard, said = validator("toClientFrame"), validator("clientFrame")
    kinds: Counter[str] = Counter()
    events = Events()
    async with (
        running_everything() as running,
        Broker(running.url) as broker,
        broker.client() as client,
        aiohttp.ClientSession(running.url) as web,
        web.get("/api/events") as stream,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(events.read(stream))
        async with coap_device(running.coap_port) as device:
            device.has({"led": "0", "temperature": "23.5°C", "text": "é"})
            device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
            await device.post("alive", "alive:A")
            await client.shows("A", led="0", temperature="23.5°C")
            await device.post("alive", "reset:A")
            await client.until(type="reset")
            assert (await client.write("A", "led", "1"))["state"] == "confirmed"
            assert (await client.write("A", "none", "1"))["state"] == "refused"
            assert (await client.write("B", "led", "1"))["state"] == "unknown"
        async with web.ws_connect(f"ws://127.0.0.1:{running.ws_port}/node") as node:
            await node.send_json({"type": "update", "data": {"list": [1, None], "on": True}})
            await client.until(endpoint="on")
        await client.until(type="out")
        for message in client.heard:
            heard.validate([message])
            kinds[message["type"]] += 1
        command: dict[str, Any] = {"type": "command", "id": "1", "uid": "A", "endpoint": "led"}
        said.validate([{"type": "new", "data": "client"}, {**command, "payload": "1"}])
        with pytest.raises(jsonschema_rs.ValidationError):
            said.validate([command])
    to_all = {"gateway", "new", "update", "reset", "out", "joined"}
    assert set(kinds) == to_all | {"hello", "receipt"}
    assert set(events.kinds) == to_all
