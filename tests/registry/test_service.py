# SPDX-License-Identifier: BSD-3-Clause
"""The registry of a running broker on real files: what is on disk when, and files that fail."""

import asyncio
import contextlib
import logging
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from pyaiot.broker.broker import Broker
from pyaiot.errors import ProtocolError, Refused
from pyaiot.links import MemoryLink
from pyaiot.messages import (
    Command,
    FromGateway,
    Hello,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    NodesSeen,
    Reading,
    Receipt,
    ToGateway,
)
from pyaiot.registry import service as service_module
from pyaiot.registry.documents import Document
from pyaiot.registry.last_values import decode_values
from pyaiot.registry.record import Edit, NodeRecord
from pyaiot.registry.refusals import NotStored, RegistryFull, StaleRevision, UnknownNode
from pyaiot.registry.registry import Registry
from pyaiot.registry.service import RegistryService
from pyaiot.registry.sqlite import SqliteStore
from pyaiot.registry.store import Changes, RegistryStore, RegistryStoreError
from tests.broker.test_fanout import FakeSocket
from tests.time_limits import Stopwatch
from tests.web.serving import eventually

pytestmark = pytest.mark.sockets

LABEL = Edit(label="Lamp")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (
        *(("WRITE_INTERVAL_S", 0.01), ("VALUES_INTERVAL_S", 0.03), ("RETRY_S", 0.03)),
        ("OPEN_LIMIT_S", 2.0),
    ):
        monkeypatch.setattr(service_module, name, seconds)


class Running:
    """A broker with a gateway and its registry."""

    def __init__(
        self,
        service: RegistryService,
        broker: Broker,
        gateway: MemoryLink[ToGateway, FromGateway],
    ) -> None:
        self.service = service
        self.broker = broker
        self.registry = broker.router.registry
        self.gateway = gateway

    async def send(self, *messages: FromGateway) -> None:
        before = self.broker.fanout.messages
        for message in messages:
            self.gateway.send(message)
        await eventually(lambda: self.broker.fanout.messages > before)

    async def offline(self, uid: str) -> None:
        await self.send(NodeAppeared(uid=uid), value(uid), NodeLeft(uid=uid))
        await eventually(lambda: self.registry.records[uid].state == "offline")

    async def path_works(self) -> None:
        """Readings reach clients, and commands end."""
        socket = FakeSocket()
        client = self.broker.client_connected(socket)
        data = str(time.monotonic())
        await self.send(value("path", data))
        await eventually(lambda: any(it.get("data") == data for it in socket.messages))
        command = Command(id="c", uid="path", resource="led", payload="1")
        self.broker.from_client(client, command)
        await eventually(lambda: any(it["type"] == "receipt" for it in socket.messages))
        assert socket.messages[-1]["state"] == "confirmed"
        self.broker.client_left(client)


def value(uid: str, data: str = "1", ts: float | None = None) -> Reading:
    return Reading.received(uid, "t", data, time.time() if ts is None else ts)


@contextlib.asynccontextmanager
async def running(
    store: RegistryStore | Path | None, registry: Registry | None = None
) -> AsyncIterator[Running]:
    if isinstance(store, Path):
        store = SqliteStore(store)
    loop = asyncio.get_running_loop()
    registry = Registry() if registry is None else registry
    broker = Broker(flush_interval_s=0.0, timer=loop, unix_time=time.time, registry=registry)
    service = RegistryService(registry, broker, store, unix_time=time.time)
    async with service.running():
        end, broker_end = MemoryLink.pair()
        serving = loop.create_task(broker.serve_gateway(broker_end, acknowledges=True))

        def receive(messages: Sequence[ToGateway]) -> None:
            for message in messages:
                if isinstance(message, Command):
                    end.send(Receipt(id=message.id, state="confirmed"))

        receiving = loop.create_task(end.run(receive))
        end.send(Hello(name="g", protocol="CoAP"))
        try:
            await eventually(lambda: broker.router.gateways.states(0.0))
            yield Running(service, broker, end)
        finally:
            end.close("the test ends")
            await asyncio.gather(serving, receiving, return_exceptions=True)


def stored(path: Path) -> dict[str, NodeRecord]:
    """What is in the file now, read as after kill -9: beside the process that writes it."""
    store = SqliteStore(_copy_of(path))
    try:
        return {record.uid: record for record in store.open()}
    finally:
        store.close()


def stored_documents(path: Path) -> list[Document]:
    """The same of documents, in order."""
    store = SqliteStore(_copy_of(path))
    try:
        store.open()
        return sorted(store.documents())
    finally:
        store.close()


def _copy_of(path: Path) -> Path:
    copied = path.with_name("copy")
    shutil.rmtree(copied, ignore_errors=True)
    copied.mkdir()
    for name in (path.name, path.name + "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(path.with_name(name), copied / name)
    return copied / path.name


# -- what is on disk ------------------------------------------------------------------------------


async def test_edit_is_on_disk_when_it_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        await it.offline("n")
        await it.service.edit("n", LABEL)
        assert stored(path)["n"].annotations.label == "Lamp"
        await it.service.edit_many(["n", "unknown"], Edit(add_tags=("a",)))
        assert stored(path)["n"].annotations.tags == ("a",)
        await it.service.provision([("new", Edit(room="Hall")), ("n", Edit(room="Hall"))])
        assert {record.annotations.room for record in stored(path).values()} == {"Hall"}
        await it.service.forget("n", 0.0)
        assert "n" not in stored(path)
        await it.service.restore("n", 1.0)
        assert stored(path)["n"].annotations.label == "Lamp"
        assert it.service.edits == 6


async def test_document_is_on_disk_when_it_is_answered_and_loaded_at_the_next_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        await it.service.put_documents([("view", "a", "1"), ("view", "b", "2")])
        assert stored_documents(path) == [("view", "a", "1"), ("view", "b", "2")]
        await it.service.put_documents([("view", "a", None)])
        it.service.documents.set_later([("alert", "x", "3")])
        await eventually(lambda: ("alert", "x", "3") in stored_documents(path))

    async with running(path) as it:
        assert it.service.documents.of("view") == {"b": "2"}
        assert it.service.documents.of("alert") == {"x": "3"}


async def test_documents_return_to_a_store_that_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        await it.service.put_documents([("view", "a", "1")])
        path.unlink()
        with contextlib.suppress(NotStored):
            await it.service.put_documents([("view", "b", "2")])
        await eventually(lambda: path.exists() and ("view", "a", "1") in stored_documents(path))


async def test_edit_of_a_node_that_has_just_appeared_stores_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        monkeypatch.setattr(service_module, "WRITE_INTERVAL_S", 1e6)
        await asyncio.sleep(0.05)  # the last interval of before ends
        await it.send(NodeAppeared(uid="n"), value("n"))
        await it.service.edit("n", LABEL)
        record = stored(path)["n"]
        assert (record.gateway, record.annotations.label) == ("g", "Lamp")
        assert time.time() - 60 < record.first_seen <= record.last_seen
        assert [it.data for it in decode_values(record.values)] == ["1"]
        monkeypatch.undo()


async def test_forgotten_node_is_not_written_again_by_an_earlier_change(tmp_path: Path) -> None:
    """Its edit is still to be written as an observation when it is forgotten."""
    path = tmp_path / "registry.db"
    async with running(path) as it:
        for _ in range(20):
            await it.offline("n")
            await it.service.edit("n", LABEL)
            await it.service.forget_many(["n", "unknown"], 0.0)
            assert "n" not in stored(path)


async def test_observations_are_on_disk_a_moment_later(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        began = time.time()
        await it.send(NodeAppeared(uid="n"), value("n", "21°C"), NodeReset(uid="n"), value("n"))
        await eventually(lambda: path.exists() and stored(path).get("n"))
        await eventually(lambda: stored(path)["n"].values != b"[]")
        record = stored(path)["n"]
        assert (record.gateway, record.protocol, record.boots) == ("g", "CoAP", 1)
        assert began - 1 <= record.first_seen <= record.last_seen <= time.time()
        assert [it.data for it in decode_values(record.values)] == ["1"]
        it.gateway.send(NodesSeen(uids=("n",)))
        await eventually(lambda: stored(path)["n"].last_seen > record.last_seen)


async def test_reading_of_the_future_does_not_count_as_seen(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        for _ in range(3):
            before = it.service.written
            await it.send(value("n", ts=time.time() + 1e6))
            await eventually(lambda before=before: it.service.written > before)  # type: ignore[misc]
        assert 0 < stored(path)["n"].last_seen <= time.time()


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        await it.offline("off")
        await it.service.edit("off", LABEL)
        await it.send(NodeAppeared(uid="on"), value("on", "2"))
        await it.service.provision([("new", Edit())])
    async with running(path, Registry(admission="known")) as again:
        states = {uid: record.state for uid, record in again.registry.records.items()}
        assert states == {"off": "offline", "on": "offline", "new": "offline"}
        assert again.registry.records["off"].annotations.label == "Lamp"
        (last,) = again.registry.message(again.registry.records["on"]).values
        assert last.data == "2"
        await again.send(NodeAppeared(uid="new"))
        assert again.registry.records["new"].state == "online"


async def test_newcomers_that_wait_are_not_stored_until_somebody_edits_them(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path, Registry(admission="approve")) as it:
        for uid in ("a", "b"):
            it.gateway.send(NodeAppeared(uid=uid))
            it.gateway.send(value(uid))
        await eventually(lambda: it.registry.waiting == 2)
        await it.service.edit("b", LABEL)
        await eventually(lambda: it.service.written)
        assert list(stored(path)) == ["b"]
        await it.service.edit("a", Edit(admission="accepted"))
        assert stored(path)["a"].admission == "accepted"
        assert stored(path)["b"].admission == "waiting"


async def test_without_a_store_everything_works_until_the_end() -> None:
    async with running(None) as it:
        await it.offline("n")
        await it.service.edit("n", LABEL)
        assert await it.service.check() == ""
        await it.service.forget("n", 0.0)
        assert (await it.service.restore("n", 1.0)).annotations.label == "Lamp"
        await it.offline("m")
        await eventually(lambda: not it.registry._leftover)


# -- several edits --------------------------------------------------------------------------------


async def test_edits_of_the_same_revision_are_not_both_made(tmp_path: Path) -> None:
    async with running(tmp_path / "registry.db") as it:
        await it.offline("n")
        results = await asyncio.gather(
            *(it.service.edit("n", Edit(label=f"l{n}"), revision=0) for n in range(20)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, StaleRevision) for result in results) == 19
        assert it.registry.records["n"].revision == 1
        with pytest.raises(StaleRevision):
            await it.service.forget("n", 0.0, revision=0)


async def test_simultaneous_edits_all_count_and_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "EDITS_WAITING_MAX", 30)
    path = tmp_path / "registry.db"
    async with running(path) as it:
        await it.offline("n")
        results = await asyncio.gather(
            *(it.service.edit("n", Edit(label=f"l{n}")) for n in range(100)),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, BaseException)]
        assert {type(result) for result in refused} == {NotStored}
        assert (len(refused), it.registry.records["n"].revision) == (70, 30)
        assert stored(path)["n"].revision == 30
        await it.service.edit("n", LABEL)


async def test_bulk_that_is_refused_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        with pytest.raises(ProtocolError, match="listed twice"):
            await it.service.provision([("a", LABEL), ("a", Edit())])
        with pytest.raises(ProtocolError):
            await it.service.provision([("a", LABEL), ("b", Edit(label="\0"))])
        monkeypatch.setattr("pyaiot.registry.registry.EDITED_MAX", 2)
        with pytest.raises(RegistryFull):
            await it.service.provision([(uid, Edit()) for uid in "abc"])
        assert len(it.registry) == len(stored(path)) == 0


async def test_online_nodes_are_left_out_of_a_bulk_that_forgets(tmp_path: Path) -> None:
    async with running(tmp_path / "registry.db") as it:
        await it.offline("off")
        await it.send(NodeAppeared(uid="on"))
        forgotten = await it.service.forget_many(["on", "off", "unknown"], 0.0)
        assert [record.uid for record in forgotten] == ["off"]
        with pytest.raises(Refused, match="ban it instead"):
            await it.service.forget("on", 0.0)
        with pytest.raises(UnknownNode):
            await it.service.forget("off", 0.0)


class SlowStore(SqliteStore):
    """Writes when it may."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may_write = threading.Event()
        self.may_write.set()

    def write(self, changes: Changes) -> None:
        self.may_write.wait(10.0)
        super().write(changes)


async def test_node_that_comes_back_while_it_is_forgotten_stays(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    store = SlowStore(path)
    async with running(store) as it:
        await it.offline("n")
        await it.service.edit("n", LABEL)
        store.may_write.clear()
        forgetting = asyncio.ensure_future(it.service.forget("n", 0.0))
        await asyncio.sleep(0.01)
        await it.send(NodeAppeared(uid="n"))
        store.may_write.set()
        with pytest.raises(Refused):
            await forgetting
        assert it.registry.records["n"].annotations.label == "Lamp"
        assert stored(path)["n"].annotations.label == "Lamp"


async def test_slow_store_delays_no_reading_and_edits_are_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "EDIT_LIMIT_S", 0.1)
    path = tmp_path / "registry.db"
    store = SlowStore(path)
    async with running(store) as it:
        await it.offline("n")
        await it.service.edit("n", LABEL)
        store.may_write.clear()
        with pytest.raises(NotStored, match="did not answer"):
            await it.service.forget("n", 0.0)
        assert "did not answer" in it.service.problem
        await it.path_works()
        store.may_write.set()
        await eventually(lambda: not it.service.problem)
        # The removal may have been carried out late: what is known is stored again.
        assert stored(path)["n"].annotations.label == "Lamp"


# -- files that fail ------------------------------------------------------------------------------


def newer(path: Path) -> None:
    store = SqliteStore(path)
    store.open()
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def of_another_program(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")


def damaged(path: Path) -> None:
    path.write_bytes(b"no database at all" * 500)


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (newer, "was written by a newer Pyaiot"),
        (of_another_program, "the file is a database of another program"),
        (damaged, "the file is damaged: move it away, and a new one is created"),
        (a_folder, "the file cannot be written"),
    ],
)
async def test_file_that_cannot_be_used_is_reported_once_and_the_rest_works(
    tmp_path: Path,
    break_it: Callable[[Path], None],
    sentence: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "registry.db"
    break_it(path)
    async with running(path) as it:
        assert sentence in it.service.problem
        assert it.service.problem == await it.service.check()
        assert str(path) in it.service.problem
        await it.path_works()
        with pytest.raises(NotStored, match=sentence):
            await it.service.edit("path", LABEL)
        await eventually(lambda: it.service.failures >= 5)
        errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(errors) == 1
        # It is moved away: without a restart, everything is stored again.
        path.rename(tmp_path / "moved")
        await eventually(lambda: not it.service.problem)
        await it.service.edit("path", LABEL)
        await eventually(lambda: stored(path)["path"].values != b"[]")
        assert len([it for it in caplog.records if it.levelno >= logging.ERROR]) == 1


async def test_full_disk_is_reported_and_the_registry_is_stored_when_there_is_space(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = small_disk / "registry.db"
    async with running(path) as it:
        await it.offline("first")
        await it.service.edit("first", LABEL)
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        number = 0
        while not it.service.problem:
            await it.send(value(f"n{number}", "x" * 2000))
            number += 1
        assert it.service.problem == f"{path}: the disk is full"
        # It is opened and fails again and again: the service does not give up.
        await eventually(lambda: it.service.failures >= 5)
        await it.path_works()
        with pytest.raises(NotStored, match="the disk is full"):
            await it.service.edit("first", Edit(label="Newer"))
        assert it.registry.records["first"].annotations.label == "Lamp"
        ballast.unlink()
        await eventually(lambda: not it.service.problem)
        await it.service.edit("first", Edit(label="Newer"))
        await eventually(lambda: len(stored(path)) == len(it.registry))
        assert stored(path)["first"].annotations.label == "Newer"
    assert len([it for it in caplog.records if it.levelno >= logging.ERROR]) == 1


async def test_read_only_folder_is_reported(small_disk: Path) -> None:
    path = small_disk / "registry.db"
    async with running(path) as it:
        await it.offline("n")
        await eventually(lambda: it.service.written)
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    await asyncio.to_thread(subprocess.run, remount, check=True)
    async with running(path) as it:
        assert str(path) in it.service.problem
        assert "ead-only" in it.service.problem or "cannot be written" in it.service.problem
        await it.path_works()
        back = [*remount[:2], "remount,rw", str(small_disk)]
        await asyncio.to_thread(subprocess.run, back, check=True)
        await eventually(lambda: not it.service.problem)
        assert it.registry.records["n"].state == "offline"


async def test_second_process_does_not_write_the_file(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as first:
        await first.offline("n")
        async with running(path) as second:
            assert "another Pyaiot writes it" in second.service.problem
            await second.path_works()
            assert first.service.problem == ""
        # A store that was never its own is not written at its end.
        await first.service.edit("n", LABEL)
    async with running(path) as third:
        assert third.registry.records["n"].annotations.label == "Lamp"


@pytest.mark.parametrize(
    "taken",
    [
        Path.unlink,
        lambda path: shutil.rmtree(path.parent),
        lambda path: path.rename(path.with_name("moved")),
    ],
)
async def test_file_that_is_deleted_is_created_again_with_everything(
    tmp_path: Path, taken: Callable[[Path], object]
) -> None:
    path = tmp_path / "deep" / "registry.db"
    async with running(path) as it:
        await it.offline("n")
        await it.service.edit("n", LABEL)
        taken(path)
        with pytest.raises(NotStored, match="deleted or replaced"):
            await it.service.edit("n", Edit(label="Newer"))
        await it.path_works()
        await eventually(lambda: not it.service.problem)
        await it.service.edit("n", Edit(room="Hall"))
        record = stored(path)["n"]
        assert (record.annotations.label, record.annotations.room) == ("Lamp", "Hall")
        assert [it.data for it in decode_values(record.values)] == ["1"]


def remove_all_nodes(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM node")


@pytest.mark.parametrize("taken", [Path.unlink, remove_all_nodes])
async def test_file_is_written_again_although_there_was_nothing_to_write(
    tmp_path: Path, taken: Callable[[Path], object]
) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        await it.offline("n")
        await it.service.edit("n", LABEL)
        await eventually(lambda: not it.registry.unwritten.count)
        taken(path)
        await eventually(lambda: it.service.failures)
        await eventually(lambda: not it.service.problem)
        assert stored(path)["n"].annotations.label == "Lamp"


class FailingStore(SqliteStore):
    """Fails while `fails` is set."""

    fails = False

    def write(self, changes: Changes) -> None:
        if self.fails:
            raise RegistryStoreError("the disk is on fire")
        super().write(changes)


async def test_changes_that_were_not_written_are_written_later(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    store = FailingStore(path)
    async with running(store) as it:
        await it.offline("old")
        await it.service.forget("old", 0.0)
        store.fails = True
        await it.send(NodeAppeared(uid="n"), value("n"))
        await eventually(lambda: it.service.failures >= 3)
        await it.send(NodeLeft(uid="n"))
        store.fails = False
        await eventually(lambda: not it.service.problem and "n" in stored(path))
        assert list(stored(path)) == ["n"]


async def test_service_that_ends_while_the_store_fails_ends_in_time(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "registry.db")
    watch = Stopwatch()
    async with running(store) as it:
        store.fails = True
        await it.send(value("n"))
    assert watch.elapsed_s < 5.0
