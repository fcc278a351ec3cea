# SPDX-License-Identifier: BSD-3-Clause
"""The cost of scopes for clients without a scope: fan-out with and without scopes, in turns.

It runs in this process. A write goes to `/dev/null`, which takes a twentieth of the time of a write
to a socket, so that the ratio is larger than that of a real broker.
"""

import os
import statistics
import time
from pathlib import Path
from typing import Final

from benchmarks.processes import Home
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results
from pyaiot.accounts.scopes import Scope
from pyaiot.broker.broker import Broker
from pyaiot.broker.deliveries import GatheredMessages
from pyaiot.broker.fanout import Fanout, Scheduler
from pyaiot.broker.subscriber import EncodedBatch
from pyaiot.messages import Join, NodeAppeared, Reading

GATEWAY: Final = 1
NODES: Final = 100
BATCH: Final = 50
RATIO_MAX: Final = 1.03


class PlainFanout(Fanout):
    """Fan-out without scopes."""

    def flush(self) -> None:
        if not self._gathered:
            return
        batch = EncodedBatch(self._gathered, self.position)
        self._gathered = GatheredMessages()
        now = self._timer.time()
        self.flushes += 1
        self.flush_wait.observe(now - self._gathered_at)
        self._flush_delay_s()
        self._credit = max(0.0, self._credit - 1.0)
        for client in list(self.clients.values()):
            if not client.write_shared(batch) and not client.closed:
                client.offer(batch, now)
                client.send_waiting(now, self._unix_time())
                self._watch(client)


class NullSink:
    """A socket whose peer reads everything at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        os.write(self._descriptor, data)

    def buffered(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        """Never called."""


class StoppedTimer(Scheduler):
    """A timer that calls nothing: the benchmark flushes itself."""

    def time(self) -> float:
        return time.monotonic()

    def call_later(self, delay: float, callback: object, /) -> None:
        """See above."""


def measure(results: Results, _home: Home, size: Size) -> None:
    """The figure `scopes`."""
    clients = size.fan_out_judged
    rounds = max(3, size.fan_out_rounds * 60)
    with Path(os.devnull).open("wb") as nowhere:
        plain = _broker(nowhere.fileno(), clients, is_plain=True)
        without = _broker(nowhere.fileno(), clients)
        beside = _broker(nowhere.fileno(), clients, scope=Scope(tags=("lab",)))
        times: dict[Broker, list[float]] = {plain: [], without: [], beside: []}
        for number in range(rounds):
            for broker, seconds in times.items():
                seconds.append(_flush(broker, number))
    base = statistics.median(times[plain])
    # The second has no target: a client with a scope gets separate frames.
    for broker, name, at_most in (
        (without, "no client has a scope", RATIO_MAX),
        (beside, "one more client has one", None),
    ):
        results.figures.append(
            Figure(
                "scopes",
                f"fan-out to {clients} clients without a scope, {name}",
                statistics.median(times[broker]) / base,
                "of the time without scopes",
                at_most=at_most,
            )
        )


def _broker(
    descriptor: int, clients: int, *, is_plain: bool = False, scope: Scope | None = None
) -> Broker:
    timer = StoppedTimer()
    broker = Broker(flush_interval_s=0.02, timer=timer, unix_time=time.time)
    if is_plain:
        broker.fanout = PlainFanout(
            run=broker.run, flush_interval_s=0.02, timer=timer, unix_time=time.time
        )
    router = broker.router
    router.gateway_connected(GATEWAY, acknowledges=True, ts=0.0)
    for number in range(NODES):
        router.from_gateway(GATEWAY, NodeAppeared(uid=f"node{number}"), now=0.0, ts=0.0)
    for _ in range(clients):
        broker.from_client(broker.client_connected(NullSink(descriptor)), Join(data="client"))
    if scope is not None:
        client = broker.client_connected(NullSink(descriptor), scope=scope)
        broker.from_client(client, Join(data="client"))
    return broker


def _flush(broker: Broker, number: int) -> float:
    """Seconds to publish some readings and write them to all clients."""
    readings = [
        Reading.received(f"node{i % NODES}", "temperature", f"{number}.{i}°C", 1.0)
        for i in range(BATCH)
    ]
    sequences = [i % NODES for i in range(BATCH)]
    began = time.perf_counter()
    broker.fanout.publish_readings(readings, sequences)
    broker.fanout.flush()
    return time.perf_counter() - began
