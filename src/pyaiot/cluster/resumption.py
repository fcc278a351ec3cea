# SPDX-License-Identifier: BSD-3-Clause
"""Whether a client with an event id of another broker can be answered from the history. Pure.

An id has the run of its broker and the time there. The history that brokers share has what was
missed, from a time before that on: earlier by the age that readings had when they were recorded,
and by the difference of the clocks. `ts` is Unix time in seconds of this broker.
"""

from typing import Final

import msgspec

from pyaiot.cluster.member import GROUP_GRACE_S, PEER_TIMEOUT_S
from pyaiot.cluster.packets import Beacon

ID_AGE_MAX_S: Final = 3600.0
"""An older id gets a gap: how late readings were is known for this long."""
RUNS_MAX: Final = 256
"""Runs of brokers whose ids are known. Beyond that, the longest silent one is forgotten."""
SKEW_MAX_S: Final = 10.0
"""Clocks that differ by more are wrong: ids of other brokers get a gap."""
MARGIN_S: Final = 2.0
"""For the time that beacons and messages take on their way."""

FORGOTTEN_S: Final = PEER_TIMEOUT_S + GROUP_GRACE_S
"""Until a silent broker is forgotten with all its nodes, which nobody records."""


class _Run(msgspec.Struct, frozen=True):
    received_at: float
    ahead_s: float
    """Its clock minus ours, too small by the time on the way of its beacon."""
    late_s: float
    has_history: bool


class Resumption:
    """What a broker knows of the ids of the others."""

    def __init__(self, ts: float) -> None:
        self._began_at = ts
        self._nodes_left_at = 0.0
        self._runs: dict[str, _Run] = {}

    def beacon_received(self, beacon: Beacon, ts: float) -> None:
        """Another broker sent a beacon."""
        if not beacon.events_run:
            return
        has_history = beacon.recorded > 0
        before = self._runs.pop(beacon.events_run, None)
        if before is not None and beacon.leaves:
            has_history = before.has_history
        self._runs[beacon.events_run] = _Run(ts, beacon.time - ts, beacon.late_s, has_history)
        if len(self._runs) > RUNS_MAX:
            del self._runs[next(iter(self._runs))]

    def nodes_left(self, ts: float) -> None:
        """Nodes went offline with their broker: nobody recorded that."""
        self._nodes_left_at = ts

    def start(self, run: str, id_ts: float, ts: float, *, own: str, late_s: float) -> float | str:
        """The time from which the history has what came after an id; or why it has not.

        `own`: the run in ids of this broker, and `late_s`: as in its beacons.
        """
        if run != own and run not in self._runs:
            return "the id is not from a broker of this cluster"
        runs = {
            key: it
            for key, it in self._runs.items()
            if key == run or it.received_at >= id_ts - SKEW_MAX_S
        }
        if not all(it.has_history for it in runs.values()):
            return "a broker of the cluster has no complete history"
        ahead = [0.0, *(it.ahead_s for it in runs.values())]
        skew_s = max(ahead) - min(ahead)
        if skew_s > SKEW_MAX_S:
            return "the clocks of the brokers differ"
        before_s = skew_s + MARGIN_S
        if not -before_s <= ts - id_ts <= ID_AGE_MAX_S:
            return "the id is too old"
        since = id_ts - before_s - FORGOTTEN_S
        if since < self._began_at:
            return "this broker has not run long enough"
        if since < self._nodes_left_at:
            return "nodes went offline with their broker meanwhile"
        return id_ts - before_s - max([late_s, *(it.late_s for it in runs.values())])


class RecordedByAll:
    """Waits until the history has what all brokers published before a moment.

    The moment is when they have sent the values that this broker requested: from then on it gets
    what they publish. Each is compared by its own clock, so nothing depends on the time on the way.
    """

    def __init__(self) -> None:
        self._latest: dict[str, float] = {}
        self._needed: dict[str, float] = {}

    def is_reached(self, beacons: dict[str, Beacon]) -> bool:
        """`beacons`: the latest of each reachable broker, by its run. Call it with each new one."""
        for run, beacon in beacons.items():
            if run not in self._latest:
                self._latest[run] = beacon.clock
            elif run not in self._needed and beacon.clock > self._latest[run]:
                # Sent after the values, on the same connection.
                self._needed[run] = beacon.clock
        return all(
            run in self._needed and beacon.recorded >= self._needed[run]
            for run, beacon in beacons.items()
        )
