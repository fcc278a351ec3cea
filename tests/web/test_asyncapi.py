# SPDX-License-Identifier: BSD-3-Clause
"""Real messages on WebSockets and server-sent events, validated with the AsyncAPI document."""

import asyncio
import json
from collections import Counter
from typing import Any

import aiohttp
import jsonschema_rs
import pytest

from pyaiot import messages
from pyaiot.client import Client
from pyaiot.links import BrokerCodec, GatewayCodec
from pyaiot.protocols.coap.numbers import Code
from scripts.reference.asyncapi import document
from tests.attacks.running import HONEST, running_gateway, running_system
from tests.clients import Broker
from tests.coap_device import Reply, coap_device
from tests.running import running_everything
from tests.web.serving import eventually

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
        """Receive messages until one has the type `out`."""
        async for line in stream.content:
            if line.startswith(b"data: "):
                message = json.loads(line[6:])
                self._schema.validate(message)
                self.kinds[message["type"]] += 1
                if message["type"] == "out":
                    return


async def test_messages_of_clients_are_in_the_document() -> None:
    to_client, from_client = validator("toClientFrame"), validator("clientFrame")
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
        for message in client.received:
            to_client.validate([message])
            kinds[message["type"]] += 1
        command: dict[str, Any] = {"type": "command", "id": "1", "uid": "A", "endpoint": "led"}
        from_client.validate([{"type": "new", "data": "client"}, {**command, "payload": "1"}])
        with pytest.raises(jsonschema_rs.ValidationError):
            from_client.validate([command])
    to_all = {"gateway", "new", "update", "reset", "out", "joined"}
    assert set(kinds) == to_all | {"hello", "receipt"}
    assert set(events.kinds) == to_all


async def test_messages_of_gateways_are_in_the_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every frame of a link and every frame of a client, as it is sent and as it is read."""
    frames: dict[str, list[Any]] = {name: [] for name in ("gateway", "toGateway", "client")}

    def tap(owner: object, name: str, kind: str) -> None:
        """Each call of it is written down: what is read, or what comes out."""
        original = getattr(owner, name)

        def tapped(*given: Any) -> Any:
            result = original(*given)
            seen = result if name == "encode" else [given[-1]]
            frames[kind] += [json.loads(frame) for frame in seen]
            return result

        monkeypatch.setattr(owner, name, tapped)

    tap(GatewayCodec, "encode", "gateway")
    tap(BrokerCodec, "decode", "gateway")
    tap(GatewayCodec, "decode", "toGateway")
    tap(BrokerCodec, "encode", "toGateway")
    tap(messages, "decode_from_client", "client")
    async with running_system() as system:
        node, client = system.node, system.client
        node.has({"led": "0", "text": "é", "temperature": "23.5°C"})
        await node.post("alive", f"reset:{HONEST}")
        await client.until(type="reset")
        await client.shows(HONEST, text="é", temperature="23.5°C")
        assert (await client.write(HONEST, "led", "1"))["state"] == "confirmed"
        assert (await client.write(HONEST, "none", "1"))["state"] == "refused"
        async with Client("127.0.0.1", system.broker_side.port, uids=[HONEST]) as program:
            assert (await program.set(HONEST, "led", "1")).state == "confirmed"
        # Another gateway announces the same node and is refused.
        async with (
            running_gateway(system.url, system.token, name="other") as other,
            coap_device(other.port) as impostor,
        ):
            await impostor.post("alive", f"alive:{HONEST}")
            await eventually(lambda: "error" in kinds_of(frames["toGateway"]))
        await eventually(lambda: "checkpoint" in kinds_of(frames["toGateway"]))
    kinds = {}
    for name, seen in frames.items():
        schema = validator(f"{name}Frame")
        for frame in seen:
            schema.validate(frame)
        kinds[name] = kinds_of(seen)
    assert kinds == {
        "gateway": {"hello", "new", "update", "reset", "receipt", "checkpoint", "secured"},
        "toGateway": {"command", "error", "checkpoint"},
        "client": {"new", "subscribe", "command"},
    }


def kinds_of(frames: list[Any]) -> set[str]:
    lists = (frame if isinstance(frame, list) else [frame] for frame in frames)
    return {message["type"] for messages in lists for message in messages}
