# SPDX-License-Identifier: BSD-3-Clause
"""Attack: fill the registry, its memory or its file with invented nodes, large values or edits."""

import time
from pathlib import Path

import pytest

from pyaiot.messages import NodeAppeared, NodeLeft, Reading
from pyaiot.registry import service as service_module
from pyaiot.registry.last_values import VALUES_OF_NODE_MAX
from pyaiot.registry.record import Edit
from pyaiot.registry.registry import Registry
from tests.registry.test_service import Running, running, stored
from tests.web.serving import eventually

pytestmark = pytest.mark.sockets

OFFLINE_MAX = 200
HONEST = [f"honest{number}" for number in range(50)]
EDITED = [f"edited{number}" for number in range(20)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WRITE_INTERVAL_S", "VALUES_INTERVAL_S", "RETRY_S"):
        monkeypatch.setattr(service_module, name, 0.02)


def size_of_files(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("registry.db*"))


def invent(it: Running, count: int, gateway: str = "attacker") -> None:
    """Nodes that come and go, at a gateway of the attacker."""
    router = it.broker.router
    for number in range(count):
        uid = f"invented{number}"
        record = it.registry.appear(uid, gateway, "CoAP", time.time())
        it.registry.leave(record, "silent", (), time.time())
        router.registry.take_evicted()


def begin(it: Running) -> None:
    now = time.time()
    for uid in (*HONEST, *EDITED):
        record = it.registry.appear(uid, "honest", "CoAP", now)
        it.registry.leave(record, "silent", (), now)


async def test_invented_nodes_push_out_neither_honest_nor_edited_ones(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path, Registry(offline_max=OFFLINE_MAX)) as it:
        begin(it)
        await it.service.edit_many(EDITED, Edit(label="Mine"))
        for _ in range(10):
            invent(it, 2000)
            await it.path_works()
        assert set(it.registry.records) >= {*HONEST, *EDITED}
        assert len(it.registry) == OFFLINE_MAX + len(EDITED) + 1  # and the node of the path
        await eventually(lambda: len(stored(path)) == len(it.registry))
        # 20,000 nodes later, the file is as large as its rows need.
        size = size_of_files(tmp_path)
        assert size < 8_000_000


@pytest.mark.parametrize("place", ["off", "broken"])
async def test_invented_nodes_take_no_memory_while_nothing_is_stored(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "registry.db").mkdir()
    store = None if place == "off" else tmp_path / "registry.db"
    async with running(store, Registry(offline_max=OFFLINE_MAX)) as it:
        begin(it)
        invent(it, 20_000)
        await eventually(lambda: not it.registry.unwritten._removed and not it.registry._leftover)
        assert len(it.registry) == OFFLINE_MAX
        assert len(it.registry.unwritten._observed) <= OFFLINE_MAX


async def test_nodes_that_were_forgotten_while_the_file_failed_are_removed_from_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "deep" / "registry.db"
    async with running(path, Registry(offline_max=5)) as it:
        for number in range(5):
            await it.offline(f"old{number}")
        await eventually(lambda: len(stored(path)) == 5)
        moved = path.parent.rename(tmp_path / "moved")
        path.parent.write_text("in the way")
        await it.send(NodeAppeared(uid="x"))
        await eventually(lambda: it.service.problem)
        for number in range(5):
            await it.offline(f"new{number}")
        path.parent.unlink()
        moved.rename(path.parent)
        await eventually(lambda: not it.service.problem)
        assert sorted(stored(path)) == [*(f"new{number}" for number in range(5)), "x"]


async def test_large_values_of_many_resources_take_little_disk_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        for number in range(5):
            for resource in range(256):
                it.gateway.send(
                    Reading(uid=f"n{number}", resource=f"r{resource}", data="x" * 64_000, ts=1.0)
                )
            await it.send(Reading(uid=f"n{number}", resource="small", data="1", ts=1.0))
        await eventually(lambda: sum(b"small" in it.values for it in stored(path).values()) == 5)
        for number in range(5):
            await it.send(NodeLeft(uid=f"n{number}"))
        assert all(len(record.values) <= VALUES_OF_NODE_MAX for record in stored(path).values())
        await it.path_works()
    size = size_of_files(tmp_path)
    assert size < 1_000_000


async def test_many_edits_keep_the_file_small(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with running(path) as it:
        uids = [f"n{number}" for number in range(200)]
        await it.service.provision([(uid, Edit(notes="x" * 2000)) for uid in uids])
        for number in range(60):
            await it.service.edit_many(uids, Edit(label=f"label {number}"))
        size = size_of_files(tmp_path)
        assert size < 12_000_000
        assert {record.revision for record in stored(path).values()} == {61}
