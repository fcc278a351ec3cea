# SPDX-License-Identifier: BSD-3-Clause
"""Several brokers of a cluster write one registry in PostgreSQL at the same time."""

import contextlib
import random
import threading

import pytest

from pyaiot.registry.postgres import PostgresStore
from pyaiot.registry.record import NodeRecord, edited_row, observed_row
from pyaiot.registry.refusals import StaleRevision
from pyaiot.registry.store import Changes, RegistryStoreError
from tests.history.postgres_server import running_server

BROKERS = 4
TURNS = 15
UIDS = [f"N{number}" for number in range(60)]


@pytest.mark.programs
def test_brokers_write_the_same_nodes_in_any_order() -> None:
    problems: list[str] = []
    barrier = threading.Barrier(BROKERS, timeout=20)

    def work(store: PostgresStore, number: int) -> None:
        order = random.Random(number)
        for turn in range(TURNS):
            seen, edited, removed = (order.sample(UIDS, 20) for _ in range(3))
            documents = [("view", uid, None if order.random() < 0.3 else "1") for uid in seen]
            changes = Changes(
                observed=[(*observed_row(NodeRecord(uid=uid)), "{}") for uid in seen],
                edited=[
                    edited_row(NodeRecord(uid=uid, revision=1 + turn * BROKERS + number))
                    for uid in edited
                ],
                removed=removed,
                documents=documents,
            )
            barrier.wait()
            with contextlib.suppress(StaleRevision):  # another broker has edited the node
                store.write(changes)

    def run(number: int) -> None:
        store = PostgresStore(url, is_shared=True)
        store.open()
        try:
            work(store, number)
        except RegistryStoreError as error:
            problems.append(str(error))
            barrier.abort()
        except threading.BrokenBarrierError:
            pass  # another broker has failed
        finally:
            store.close()

    with running_server() as server:
        url = server.url
        threads = [threading.Thread(target=run, args=(number,)) for number in range(BROKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert problems == []
