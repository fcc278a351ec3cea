# SPDX-License-Identifier: BSD-3-Clause
"""Worker: a gateway that sends readings to the broker whose dashboard is measured.

Readings come in a random order of nodes, each time another value, evenly spread over a second.
"""

import argparse
import asyncio
import contextlib
import random
import select
import sys
import time
from collections.abc import AsyncIterator, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from benchmarks.gateway import announcement, batches, encode, reading, uid
from benchmarks.processes import Home
from benchmarks.wire import connect, gateway_protocols

ROOT: Final = Path(__file__).resolve().parents[1]
BATCHES_PER_S: Final = 20
ANNOUNCE_BATCH: Final = 200
NUMBERS: Final = (0, 1, 3, 4, 5, 6)
"""Resources that are measurements: see `gateway.resource`. The board of a node does not change."""
START_LIMIT_S: Final = 60.0


def announced(nodes: int, resources: int) -> Iterator[dict[str, Any]]:
    yield from announcement(0, 0, v2=True)
    for node in range(nodes):
        yield {"type": "new", "uid": uid(node), "ts": round(time.time(), 3)}
        for number in NUMBERS[:resources]:
            yield reading(node, number, 0, v2=True)


def feed(port: int, token: str, nodes: int, resources: int, rate: int) -> None:
    """Be a gateway: announce the nodes, then send readings until this process is ended."""
    link, _ = connect(port, "/gw", gateway_protocols(token, v2=True))
    for batch in batches(announced(nodes, resources), ANNOUNCE_BATCH):
        link.sendall(encode(batch, v2=True))
    print("ready", flush=True)
    places = [(node, number) for node in range(nodes) for number in NUMBERS[:resources]]
    random.Random(1).shuffle(places)
    turns = cycle(places)
    start, sent, turn = time.monotonic(), 0, 0
    while True:
        turn += 1
        due = round((time.monotonic() - start) * rate)
        chosen = [next(turns) for _ in range(due - sent)]
        sent = due
        if chosen:
            link.sendall(encode([reading(*it, turn, v2=True) for it in chosen], v2=True))
        time.sleep(max(0.0, start + turn / BATCHES_PER_S - time.monotonic()))
        if select.select([link], [], [], 0)[0]:
            link.recv(1 << 16)  # the answers of the broker are not needed here


@contextlib.asynccontextmanager
async def feeding(
    home: Home, port: int, nodes: int, resources: int, rate: int
) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.dashboard_feed", "--port", str(port)),
        *("--nodes", str(nodes), "--resources", str(resources), "--rate", str(rate)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(home.token().encode() + b"\n")
    try:
        await asyncio.wait_for(process.stdout.readline(), START_LIMIT_S)
        yield
    finally:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--port", "--nodes", "--resources", "--rate"):
        parser.add_argument(name, type=int, required=True)
    its = parser.parse_args()
    feed(its.port, sys.stdin.readline().strip(), its.nodes, its.resources, its.rate)
