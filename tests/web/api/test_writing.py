# SPDX-License-Identifier: BSD-3-Clause
"""Commands over HTTP: every outcome, and retries that are carried out once."""

import asyncio
import io
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pyaiot.broker.broker import Broker
from pyaiot.broker.client_rates import COMMANDS_BURST
from pyaiot.broker.commands import IN_FLIGHT_PER_CLIENT_MAX
from pyaiot.messages import VALUE_SIZE_MAX, Command, NodeAppeared, Receipt
from pyaiot.protocols.coap.numbers import Code
from pyaiot.web.api import idempotency, idempotency_file
from pyaiot.web.api.http_command import HttpCommand
from pyaiot.web.api.idempotency_file import IdempotencyFile
from pyaiot.web.problems import ProblemError
from tests.coap_device import Reply
from tests.running import scene
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

LED = "/api/nodes/n/resources/led"
ASYNC = {"Prefer": "respond-async"}


async def put(
    served: Served, body: bytes | str, path: str = LED, **headers: str
) -> tuple[int, Any, aiohttp.ClientResponse]:
    # For a large body, aiohttp's client requires a file.
    data = io.BytesIO(body) if isinstance(body, bytes) else body
    async with served.web.put(path, data=data, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None), answer


async def with_node(served: Served) -> None:
    served.gateway.send("n", "led", "0")
    await served.known("n")


@pytest.mark.parametrize(
    ("outcome", "status", "kind"),
    [
        ("confirmed", 200, ""),
        ("sent", 202, ""),
        ("refused", 502, "refused"),
        ("timeout", 504, "timeout"),
        ("unreachable", 503, "unreachable"),
        ("unknown", 404, "unknown-node"),
    ],
)
async def test_response_is_the_receipt(outcome: str, status: int, kind: str) -> None:
    async with serving() as served:
        await with_node(served)
        found, result, answer = await put(served, outcome)
        assert found == status
        command = result["command"] if kind else result
        assert (command["state"], command["uid"], command["resource"]) == (outcome, "n", "led")
        assert answer.headers["Location"] == f"/api/commands/{command['id']}"
        assert await served.json(answer.headers["Location"]) == command
        if kind:
            assert answer.content_type == "application/problem+json"
            assert result["type"] == f"/api/docs#problem-{kind}"
        if outcome == "refused":
            assert result["detail"] == "4.00 Bad Request"


async def test_real_device_confirms_or_refuses() -> None:
    async with scene() as it, aiohttp.ClientSession(it.running.url) as web:
        it.device.has({"led": "0"})
        it.device.replies[Code.PUT, "led"] = Reply(Code.CHANGED, b"led:1")
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        async with web.put("/api/nodes/A/resources/led", data=b"1") as answer:
            assert (answer.status, (await answer.json())["detail"]) == (200, "2.04 Changed")
        async with web.put("/api/nodes/A/resources/lamp", data=b"1") as answer:
            result = await answer.json(content_type=None)
            assert (answer.status, result["detail"]) == (502, "4.04 Not Found")
        written = [item.payload for item in it.device.requests if item.code == Code.PUT]
        assert written == [b"1", b"1"]


async def test_receipt_of_an_asynchronous_command_is_available_later() -> None:
    async with serving() as served:
        await with_node(served)
        status, result, answer = await put(served, "later", **ASYNC)
        assert (status, result["state"]) == (202, "pending")
        assert answer.headers["Preference-Applied"] == "respond-async"
        assert (await served.json(answer.headers["Location"]))["state"] == "pending"
        (command,) = served.gateway.commands
        assert command.payload == "later"
        served.gateway.answer(command, "refused")
        result = await served.json_with(answer.headers["Location"], state="refused")
        assert result["detail"] == "4.00 Bad Request"


async def test_deadline_of_the_broker_ends_a_command_of_a_silent_gateway() -> None:
    async with serving() as served:
        await with_node(served)
        status, result, _ = await put(served, "silence", LED + "?timeout=0.01")
        assert (status, result["command"]["state"]) == (504, "timeout")


async def test_same_key_is_one_command_with_two_responses() -> None:
    async with serving() as served:
        await with_node(served)
        both = [
            asyncio.ensure_future(put(served, "wait", **{"Idempotency-Key": "k"})) for _ in range(2)
        ]
        await eventually(lambda: served.gateway.commands)
        await asyncio.sleep(0.02)  # time for a second command to arrive, if there were one
        (command,) = served.gateway.commands
        served.gateway.answer(command, "confirmed")
        (first, result, _), (second, again, _) = await asyncio.gather(*both)
        assert (first, second) == (200, 200)
        assert result == again
        status, later, _ = await put(served, "wait", **{"Idempotency-Key": "k"})
        assert (status, later) == (200, result)
        assert len(served.gateway.commands) == 1


async def test_same_key_for_another_command_is_refused() -> None:
    async with serving() as served:
        await with_node(served)
        assert (await put(served, "confirmed", **{"Idempotency-Key": "k"}))[0] == 200
        status, result, _ = await put(served, "refused", **{"Idempotency-Key": "k"})
        assert (status, result["type"]) == (409, "/api/docs#problem-key-reused")
        assert len(served.gateway.commands) == 1


async def test_unsent_command_may_be_retried_with_its_key() -> None:
    async with serving() as served:
        path = "/api/nodes/late/resources/led"
        assert (await put(served, "confirmed", path, **{"Idempotency-Key": "k"}))[0] == 404
        served.gateway.send("late", "led", "0")
        await served.known("late")
        assert (await put(served, "confirmed", path, **{"Idempotency-Key": "k"}))[0] == 200


async def test_commands_above_the_rate_are_refused_and_not_sent() -> None:
    async with serving() as served:
        await with_node(served)
        answers = [await put(served, "confirmed") for _ in range(int(COMMANDS_BURST) + 20)]
        refused = [answer for status, _, answer in answers if status == 429]
        assert refused
        assert refused[0].headers["Retry-After"] == "1"
        assert len(served.gateway.commands) == len(answers) - len(refused)


async def test_ended_commands_are_forgotten_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "ENDED_MAX", 2)
    async with serving() as served:
        await with_node(served)
        places = [(await put(served, "confirmed"))[2].headers["Location"] for _ in range(3)]
        problem = await served.json(places[0], 404)
        assert problem["type"].endswith("unknown-command")
        await served.json(places[1])


async def test_programs_at_once_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "PROGRAMS_MAX", 0)
    async with serving() as served:
        await with_node(served)
        status, result, _ = await put(served, "confirmed")
        assert (status, result["type"]) == (503, "/api/docs#problem-busy")


async def test_client_may_disconnect_while_it_waits() -> None:
    async with serving() as served:
        await with_node(served)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await put(served, "silence")
        served.gateway.link.send(Receipt(id=served.gateway.commands[0].id, state="confirmed"))
        assert (await put(served, "confirmed"))[0] == 200
        assert len(served.broker.router.commands) < IN_FLIGHT_PER_CLIENT_MAX


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"\xff", 400), (b"x" * (VALUE_SIZE_MAX + 1), 413), (b"x" * 1_100_000, 413)],
)
async def test_invalid_body_is_not_sent(body: bytes, status: int) -> None:
    async with serving() as served:
        await with_node(served)
        found, result, answer = await put(served, body)
        assert found == status
        assert answer.content_type == "application/problem+json"
        assert result["status"] == status
        assert served.gateway.commands == []


async def test_largest_value_arrives_unchanged() -> None:
    async with serving() as served:
        await with_node(served)
        text = "é" * (VALUE_SIZE_MAX // 2)
        status, _, _ = await put(served, text.encode(), **ASYNC)
        assert status == 202
        await eventually(lambda: served.gateway.commands)
        assert served.gateway.commands[0].payload == text


@pytest.mark.parametrize("query", ["timeout=0", "timeout=61", "timeout=nan", "timeout=inf"])
async def test_timeout_has_a_range(query: str) -> None:
    async with serving() as served:
        await with_node(served)
        assert (await put(served, "confirmed", f"{LED}?{query}"))[0] == 400


async def test_key_has_a_length_and_is_sent_once() -> None:
    async with serving() as served:
        await with_node(served)
        for key in ("k" * 256, "", " "):
            assert (await put(served, "confirmed", **{"Idempotency-Key": key}))[0] == 400
        twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
        async with served.web.put(LED, data="confirmed", headers=twice) as answer:
            assert answer.status == 400


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Table:
    """A command table at a broker with one node, whose gateway confirms everything."""

    def __init__(self, path: Path | None = None, *, unix_time: float = 0.0) -> None:
        self.clock = Clock()
        self.carried_out = 0
        self.silent = False
        loop = asyncio.get_running_loop()
        self.broker = Broker(flush_interval_s=0.0, timer=loop, unix_time=lambda: 0.0)
        self.table = idempotency.HttpCommandTable(
            self.broker, lambda: unix_time, self.clock, IdempotencyFile(path)
        )
        router = self.broker.router
        self.broker._links[1] = self  # type: ignore[assignment]
        router.gateway_connected(1, acknowledges=True, ts=0.0)
        router.from_gateway(1, NodeAppeared(uid="n"), now=0.0, ts=0.0)

    def send(self, message: object) -> None:
        """The link of a gateway: receives what the broker sends."""
        assert isinstance(message, Command)
        self.carried_out += 1
        if not self.silent:
            asyncio.get_running_loop().call_soon(self._confirm, message)

    def _confirm(self, command: Command) -> None:
        receipt = Receipt(id=command.id, state="confirmed")
        self.broker._deliver(self.broker.router.from_gateway(1, receipt, now=0.0, ts=0.0))

    async def issue(self, key: str = "", *, program: str = "p", uid: str = "n") -> HttpCommand:
        command = self.table.issue(program, uid, "led", "1", 5.0, key)
        await asyncio.sleep(0.1)  # below the rate limit of a client
        return command


async def test_ten_thousand_refused_commands_do_not_push_a_key_out_of_memory() -> None:
    it = Table()
    first = await it.issue("k")
    for number in range(10_800):
        it.table.issue("p", "n", "led", "1", 5.0, "" if number % 2 else f"flood {number}")
        it.table.issue("other", "nobody", "led", "1", 5.0, f"flood {number}")
    carried_out = it.carried_out
    assert carried_out < 100
    assert await it.issue("k") is first
    assert it.carried_out == carried_out


async def test_a_key_lives_for_a_day() -> None:
    it = Table()
    first = await it.issue("k")
    it.clock.now = idempotency.KEY_LIFE_S - 1
    assert await it.issue("k") is first
    it.clock.now = idempotency.KEY_LIFE_S
    assert await it.issue("k") is not first
    assert it.carried_out == 2


async def test_a_command_whose_key_cannot_be_remembered_is_refused_and_not_carried_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "KEYS_PER_PROGRAM_MAX", 2)
    monkeypatch.setattr(idempotency, "KEYS_MAX", 3)
    it = Table()
    first = await it.issue("1")
    it.clock.now = 100.0
    await it.issue("2")
    with pytest.raises(ProblemError) as refused:
        await it.issue("3")
    assert (refused.value.problem.status, refused.value.headers["Retry-After"]) == (429, "86300")
    await it.issue("1", program="other")
    with pytest.raises(ProblemError) as refused:
        await it.issue("2", program="other")
    assert refused.value.problem.status == 503
    assert it.carried_out == 3
    # Remembered keys still work, and so do commands without a key.
    assert await it.issue("1") is first
    await it.issue()
    assert it.carried_out == 4
    it.clock.now = idempotency.KEY_LIFE_S
    await it.issue("3")
    assert it.carried_out == 5


async def test_a_key_that_waits_for_its_receipt_is_remembered_too() -> None:
    it = Table()
    it.silent = True
    first = await it.issue("k")
    assert await it.issue("k") is first
    assert it.carried_out == 1


async def test_a_key_survives_a_restart_of_the_broker(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys"
    first = await Table(path).issue("k")
    again = Table(path)
    known = await again.issue("k")
    assert again.carried_out == 0
    assert known.status() == first.status()
    assert again.table.find(first.command_id) is known
    with pytest.raises(ProblemError) as refused:
        again.table.issue("p", "n", "led", "0", 5.0, "k")
    assert refused.value.problem.status == 409
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_command_without_a_receipt_before_the_restart_is_not_sent_again(
    tmp_path: Path,
) -> None:
    before = Table(tmp_path / "keys")
    before.silent = True
    await before.issue("k")
    again = Table(tmp_path / "keys")
    status = (await again.issue("k")).status()
    assert again.carried_out == 0
    assert (status.state, status.detail) == (
        "timeout",
        "the broker was restarted before the node answered",
    )


async def test_the_key_of_a_command_that_was_not_sent_is_free_after_a_restart(
    tmp_path: Path,
) -> None:
    await Table(tmp_path / "keys").issue("k", uid="nobody")
    again = Table(tmp_path / "keys")
    await again.issue("k")
    assert again.carried_out == 1


@pytest.mark.parametrize("passed_s", [22 * 3600.0, -400 * 86_400.0, 400 * 86_400.0])
async def test_a_wrong_clock_after_a_restart_does_not_free_a_key(
    tmp_path: Path, passed_s: float
) -> None:
    now = 1_700_000_000.0
    await Table(tmp_path / "keys", unix_time=now).issue("k")
    again = Table(tmp_path / "keys", unix_time=now + passed_s)
    await again.issue("k")
    assert again.carried_out == 0
    again.clock.now = idempotency.KEY_LIFE_S
    await again.issue("k")
    assert again.carried_out == 1


async def test_a_damaged_file_of_keys_costs_its_damaged_lines_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    await Table(path).issue("k")
    with path.open("ab") as file:
        file.write(b'{"id":"x","prog\xff')
    again = Table(path)
    await again.issue("k")
    await again.issue("k2")
    assert again.carried_out == 1
    third = Table(path)
    await third.issue("k2")
    assert third.carried_out == 0
    path.write_text("another file")
    await Table(path).issue("k")
    assert "a restart forgets them" in caplog.text
    assert path.read_text() == "another file"


async def test_the_file_of_keys_does_not_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency_file, "LINES_SPARE", 10)
    path = tmp_path / "keys"
    it = Table(path)
    for day in range(20):
        it.clock.now = day * idempotency.KEY_LIFE_S
        for number in range(3):
            await it.issue(f"{day}.{number}")
    assert len(path.read_bytes().splitlines()) < 30
    again = Table(path)
    await again.issue("19.0")
    assert again.carried_out == 0


async def test_keys_are_remembered_in_memory_while_the_file_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    it = Table(path)
    path.unlink()
    path.mkdir()
    first = await it.issue("k")
    assert await it.issue("k") is first
    assert it.carried_out == 1
    assert caplog.text.count("cannot be written") == 1


async def test_one_program_does_not_displace_commands_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "ENDED_PER_PROGRAM_MAX", 3)
    it = Table()
    quiet = await it.issue(program="quiet")
    loud = [await it.issue(program="loud") for _ in range(5)]
    assert it.table.find(quiet.command_id) is quiet
    found = [it.table.find(command.command_id) is command for command in loud]
    assert found == [False, False, True, True, True]


async def test_unsent_command_has_no_location() -> None:
    async with serving() as served:
        path = "/api/nodes/nobody/resources/led"
        status, result, answer = await put(served, "1", path, **ASYNC)
        assert (status, "Location" in answer.headers) == (404, False)
        await served.json(f"/api/commands/{result['command']['id']}", 404)
