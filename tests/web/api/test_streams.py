# SPDX-License-Identifier: BSD-3-Clause
"""Server-sent events: their content, and the replay of missed events or a gap."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pyaiot.broker import replay_buffer
from pyaiot.messages import NodeReset
from pyaiot.web.api import replay, streams
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

Event = tuple[str, Any]


class Reader:
    """Reads a stream as browsers do (WHATWG HTML, server-sent events)."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.last_id = ""
        self.last_has_id = False
        """The last event had an id."""
        self.events: list[Event] = []

    async def next(self) -> Event | None:
        """The next event; None at the end. Every block has one."""
        kind, data = "message", []
        self.last_has_id = False
        while True:
            line = (await self._answer.content.readline()).decode()
            if not line:
                return None
            name, _, value = line.rstrip("\n").partition(": ")
            match name:
                case "event":
                    kind = value
                case "data":
                    data.append(value)
                case "id":
                    self.last_id = value
                    self.last_has_id = True
                case "" if not line.startswith(":"):
                    assert data, "a block without an event"
                    self.events.append((kind, json.loads("\n".join(data))))
                    assert self.events[-1][1]["type"] == kind
                    return self.events[-1]

    async def until(self, found: Callable[[Event], bool]) -> list[Event]:
        """The events up to the first match, including the id after it."""
        events: list[Event] = []
        while not events or not found(events[-1]) or not self.last_has_id:
            event = await self.next()
            assert event is not None, "the stream has ended"
            events.append(event)
        return events


@contextlib.asynccontextmanager
async def stream(served: Served, query: str = "", last_id: str = "") -> AsyncIterator[Reader]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with served.web.get(f"/api/events{query}", headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield Reader(answer)


def is_joined(event: Event) -> bool:
    return event[0] == "joined"


def is_value(data: object) -> Callable[[Event], bool]:
    return lambda event: event[0] == "update" and event[1]["data"] == data


def values(events: list[Event]) -> list[Any]:
    return [message["data"] for kind, message in events if kind == "update"]


async def test_stream_begins_with_the_state_and_continues_with_events() -> None:
    async with serving() as served:
        served.gateway.send("n", "led", "0")
        await served.known("n")
        async with stream(served) as reader:
            events = await reader.until(is_joined)
            assert [kind for kind, _ in events] == ["gateway", "new", "update", "joined"]
            served.gateway.send("n", "led", "1")
            served.gateway.link.send(NodeReset(uid="n"))
            assert values(await reader.until(lambda event: event[0] == "reset")) == ["1"]


async def test_an_id_comes_only_after_everything_before_it() -> None:
    async with serving() as served:
        served.gateway.send("n", "led", "0")
        await served.known("n")
        async with stream(served) as reader:
            while not reader.events or not is_joined(reader.events[-1]):
                assert reader.last_id == ""
                await reader.next()
            assert reader.last_id.startswith(served.broker.run)


async def test_an_id_stands_in_the_block_of_the_last_event() -> None:
    async with serving() as served:
        served.gateway.send("n", "led", 0)
        await served.known("n")
        async with served.web.get("/api/events") as answer:
            text = ""
            while "event: joined" not in text or not text.endswith("\n\n"):
                text += (await answer.content.readany()).decode()
    blocks = [block.split("\n") for block in text.removesuffix("\n\n").split("\n\n")]
    names = [[line.partition(":")[0] for line in block] for block in blocks]
    assert names[-1] == ["event", "data", "id"]
    assert all(block == ["event", "data"] for block in names[:-1])


async def test_stream_is_filtered_by_nodes_and_resources() -> None:
    async with serving() as served:
        for uid in ("a", "b", "é"):
            served.gateway.send(uid, "led", uid)
            served.gateway.send(uid, "lamp", uid)
        await served.known("é")
        async with stream(served, "?uid=a&uid=%C3%A9&resource=led") as reader:
            events = await reader.until(is_joined)
            assert values(events) == ["a", "é"]
            for uid in ("b", "a"):
                served.gateway.send(uid, "lamp", "later")
                served.gateway.send(uid, "led", "later")
            assert values(await reader.until(is_value("later"))) == ["later"]
            assert reader.events[-1][1]["uid"] == "a"


async def test_a_reconnecting_client_gets_missed_events_once() -> None:
    async with serving() as served:
        served.gateway.send("n", "led", 0)
        async with stream(served) as reader:
            await reader.until(is_joined)
        for count in range(1, 500):
            served.gateway.send("n", "led", count)
        async with stream(served, last_id=reader.last_id) as again:
            served.gateway.send("n", "led", "live")
            events = await again.until(is_value("live"))
        assert values(events) == [*range(1, 500), "live"]
        async with stream(served, last_id=again.last_id) as third:
            served.gateway.send("n", "led", "third")
            assert values(await third.until(is_value("third"))) == ["third"]


async def test_missed_events_are_filtered_too() -> None:
    async with serving() as served:
        async with stream(served) as reader:
            await reader.until(is_joined)
        served.gateway.send("a", "led", 1)
        served.gateway.send("b", "led", 2)
        await served.known("b")
        async with stream(served, "?uid=b", last_id=reader.last_id) as again:
            assert values(await again.until(is_value(2))) == [2]


async def test_older_events_are_replayed_from_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_buffer, "RECENT_MAX", 5)
    async with serving(tmp_path) as served:
        served.gateway.send("n", "led", 0)
        await served.known("n")
        async with stream(served) as reader:
            await reader.until(is_joined)
        sent = [float(count) for count in range(1, 200)]
        now = time.time()
        for count, value in enumerate(sent):
            # The clock of this gateway is an hour behind.
            served.gateway.send("n", "led", value, ts=now - 3600 + count / 1000)
        served.gateway.link.send(NodeReset(uid="n", ts=now))
        await served.until(len(sent) + 4)
        async with stream(served, last_id=reader.last_id) as again:
            served.gateway.send("n", "led", "live")
            events = await again.until(is_value("live"))
        assert ("gap" in [kind for kind, _ in events]) is False
        assert [value for value in values(events) if value in sent] == sent
        assert "reset" in [kind for kind, _ in events]


@pytest.mark.parametrize("held", [True, False])
async def test_unknown_events_are_a_gap_followed_by_the_state(
    held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_buffer, "RECENT_MAX", 5)
    async with serving() as served:
        served.gateway.send("n", "led", 0)
        await served.known("n")
        async with stream(served) as reader:
            await reader.until(is_joined)
        for count in range(5 if held else 6):
            served.gateway.send("n", "led", count)
        await served.until(5 if held else 9)
        await served.until(3 + (5 if held else 6))
        async with stream(served, last_id=reader.last_id) as again:
            if held:
                assert values(await again.until(is_value(4))) == [0, 1, 2, 3, 4]
            else:
                events = await again.until(is_joined)
                assert [kind for kind, _ in events] == ["gap", "gateway", "new", "update", "joined"]


@pytest.mark.parametrize("last_id", ["x", "00000000-1-1", "{run}-999999-1"])
async def test_unknown_id_is_a_gap(last_id: str) -> None:
    async with serving() as served:
        last_id = last_id.format(run=served.broker.run)
        async with stream(served, last_id=last_id) as reader:
            events = await reader.until(is_joined)
            assert events[0][0] == "gap"
            assert events[0][1]["detail"]


async def test_gap_of_the_history_is_a_gap_of_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_buffer, "RECENT_MAX", 1)
    async with serving(tmp_path) as served:
        assert served.keeping is not None
        async with stream(served) as reader:
            await reader.until(is_joined)
        served.keeping.recorder._drop()
        for count in range(3):
            served.gateway.send("n", "led", count)
        await served.until(5)
        async with stream(served, last_id=reader.last_id) as again:
            (kind, gap), *_ = await again.until(is_joined)
            assert (kind, gap["detail"]) == ("gap", "the history has a gap")


async def test_a_clock_that_jumped_is_a_gap_of_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_buffer, "RECENT_MAX", 1)
    async with serving(tmp_path) as served:
        assert served.keeping is not None
        async with stream(served) as reader:
            await reader.until(is_joined)
        sources = served.keeping.recorder._sources
        monkeypatch.setattr(sources, "_unix_time", lambda: time.time() + 7200)
        for count in range(3):
            served.gateway.send("n", "led", count)
        await served.until(5)
        async with stream(served, last_id=reader.last_id) as again:
            (kind, gap), *_ = await again.until(is_joined)
            assert (kind, gap["detail"]) == ("gap", "the history is behind, or the clock jumped")


async def test_too_many_missed_events_are_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_buffer, "RECENT_MAX", 1)
    monkeypatch.setattr(replay, "REPLAY_MAX", 3)
    async with serving(tmp_path) as served:
        async with stream(served) as reader:
            await reader.until(is_joined)
        for count in range(5):
            served.gateway.send("n", "led", count)
        await served.until(7)
        async with stream(served, last_id=reader.last_id) as again:
            events = await again.until(is_joined)
            assert events[0][0] == "gap"
            assert values(events) == [4]


async def test_stream_sends_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_INTERVAL_S", 0.01)
    async with serving() as served, served.web.get("/api/events?uid=none") as answer:
        while await answer.content.readline() != b":\n":
            pass
        # Not a separate block, which some readers would treat as an event.
        assert await answer.content.readline() == b":\n"


async def test_disconnected_client_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_INTERVAL_S", 0.01)
    async with serving() as served:
        async with stream(served) as reader:
            await reader.until(is_joined)
            assert len(served.broker.fanout.clients) == 1
        await eventually(lambda: not served.broker.fanout.clients)


async def test_client_that_reads_nothing_uses_little_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyaiot.broker.subscriber.STALL_LIMIT_S", 0.5)
    async with (
        serving() as served,
        served.web.get("/api/events", read_bufsize=1024) as answer,
    ):
        await eventually(lambda: served.broker.fanout.clients)
        (client,) = served.broker.fanout.clients.values()
        for count in range(600):
            for resource in range(20):
                served.gateway.send("n", f"r{resource}", str(count) * 200)
            await asyncio.sleep(0)
        await eventually(lambda: not served.broker.fanout.clients)
        assert client.conflated > 0
        assert client.sink.buffered() < 512 * 1024
        answer.close()


async def test_streams_end_when_the_broker_stops() -> None:
    async with serving() as served, served.web.get("/api/events") as answer:
        await answer.content.readline()
        served.app.api.streams.close_all()
        await asyncio.wait_for(answer.read(), 2.0)
