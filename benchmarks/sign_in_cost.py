# SPDX-License-Identifier: BSD-3-Clause
"""The cost of sign-in and permissions for an API read: compares a broker with and one without them.

Both run at the same time and get requests in turns. Their CPU time per read is compared round by
round, so that other work on the machine affects both alike.
"""

import os
import statistics
import subprocess
import sys
from typing import Final

from benchmarks.api import NODES, Requester, count, wait_known
from benchmarks.event_loop import EventLoop
from benchmarks.gateway import announcement, batches, uid
from benchmarks.processes import BenchmarkError, Home, Server
from benchmarks.services import broker, broker_with_sign_in
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results
from benchmarks.wire import WebSocket, gateway_protocols, messages_frame

COST_MAX: Final = 10.0
"""Percent that sign-in may add to the CPU time of a read."""
READERS: Final = 4
ROUNDS: Final = 15
PATH: Final = "/api/nodes/{uid}/resources/temperature"


def measure(results: Results, home: Home, size: Size) -> None:
    token = _token(home)
    header = f"Authorization: Bearer {token}\r\n"
    with broker(home, history=False) as open_to_all, broker_with_sign_in(home) as guarded:
        gateways = [_announced(home, server) for server in (open_to_all, guarded)]
        try:
            wait_known(open_to_all.port)
            both = ((open_to_all, ""), (guarded, header))
            for server, more in both:
                _read(server, more, size.api_s / ROUNDS)  # warm
            ratios = []
            for _ in range(ROUNDS):
                without, with_ = (_read(server, more, size.api_s / ROUNDS) for server, more in both)
                ratios.append(with_ / without)
        finally:
            for gateway in gateways:
                gateway.close()
    results.figures.append(
        Figure(
            "api",
            "a token and its role, per read",
            (statistics.median(ratios) - 1) * 100,
            "%",
            at_most=COST_MAX,
            note=f"CPU time of a read of one value beside one without sign-in; {ROUNDS} rounds from"
            f" {(min(ratios) - 1) * 100:.1f} to {(max(ratios) - 1) * 100:.1f} %",
        )
    )


def _token(home: Home) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pyaiot", "token", "add", "benchmark", "--role", "admin"],
        env={**os.environ, "HOME": str(home.path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(done.stderr.strip())
    return done.stdout.strip()


def _announced(home: Home, server: Server) -> WebSocket:
    gateway = WebSocket(server.port, "/gw", gateway_protocols(home.token(), v2=True))
    for batch in batches(announcement(NODES, 1, v2=True), 500):
        gateway.socket.sendall(messages_frame(batch))
    return gateway


def _read(server: Server, headers: str, seconds: float) -> float:
    """CPU time of one read, in seconds."""
    loop = EventLoop()
    path = PATH.format(uid=uid(0))
    requesters = [Requester(server.port, path, headers) for _ in range(READERS)]
    for requester in requesters:
        loop.add(requester, requester.receive)
    try:
        before, cpu_before = count(requesters), server.cpu_s()
        loop.run_until(lambda: count(requesters) > before, 20.0, "the answer to a read")
        loop.run_for(seconds)
        return (server.cpu_s() - cpu_before) / (count(requesters) - before)
    finally:
        for requester in requesters:
            loop.remove(requester)
            requester.socket.close()
        loop.close()
