# SPDX-License-Identifier: BSD-3-Clause
"""Sends mutations of valid input to each listener of a running `aiot run`.

    python fuzz/listeners.py                            10,000 inputs per listener
    python fuzz/listeners.py --listener coap --inputs 500 --seed 7

For each listener it reports whether the service still runs, how much its memory grew after a
warm-up, and how long valid requests between the inputs took, at this listener and at the others.
The exit code is 1 if the service ended, logged a traceback or grew by more than 2 MB, or if a valid
request took more than 50 ms (`--limit-ms`). The same seed gives the same inputs.

New nodes are refused (`--admission known`): invented uids would take memory up to limits, which
other tests cover.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz.run import mutations
from fuzz.service import coap, mqtt, nodes, web
from fuzz.service.listener import Listener
from fuzz.service.system import System

LISTENERS: Final = (
    web.WEB,
    web.CLIENT,
    web.GATEWAY_LINK,
    nodes.NODE,
    coap.COAP,
    coap.OSCORE,
    coap.EDHOC,
    coap.COAPS,
    coap.DTLS,
    mqtt.MQTTSN,
    mqtt.MQTT_BROKER,
    web.TLS,
)
"""All listeners. Each is defined in a module of `fuzz/service`."""
MEMORY_GROWTH_MAX: Final = 2_000_000
"""Bytes by which the process may grow after the warm-up."""
WARM_UP: Final = 0.4
"""Share of the inputs after which memory is measured first."""
PROBES: Final = 20
"""How often valid requests are sent to all listeners while one gets inputs."""
PROBE_INTERVAL_MIN: Final = 16
"""Minimum number of inputs between two such times, so that short runs are fast."""
ATTEMPTS: Final = 3
PAUSE_LIMIT_MS: Final = 1000.0


@dataclass
class Outcome:
    """The result of one listener."""

    name: str
    inputs: int
    growth: int = 0
    own_ms: list[float] = field(default_factory=list)
    others_ms: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        own, others = max(self.own_ms, default=0.0), max(self.others_ms, default=0.0)
        return (
            f"{self.name:<8} {self.inputs:>7,} {self.growth / 1e6:>+9.2f} MB {own:>7.1f} ms"
            f" {others:>7.1f} ms  {'; '.join(self.problems) or 'ok'}"
        )


def attack(
    system: System,
    listener: Listener,
    others: list[Listener],
    *,
    inputs: int,
    seed: int,
    limit_ms: float,
) -> Outcome:
    """Send inputs to one listener, and valid requests to all listeners between them."""
    outcome = Outcome(listener.name, inputs)
    sender = listener.sender(system, seed)
    every = max(PROBE_INTERVAL_MIN, inputs // PROBES)
    warm = 0
    for number, data in enumerate(islice(mutations(listener.corpus, seed), inputs), 1):
        sender.send(data)
        if number % every == 0:
            outcome.own_ms.append(timed(outcome, listener, system, limit_ms))
            outcome.others_ms += [timed(outcome, it, system, limit_ms) for it in others]
        if number == int(inputs * WARM_UP):
            warm = system.resident_bytes()
        if not system.lives:
            outcome.problems.append(f"the service ended after input {number}: {data[:80]!r}")
            return outcome
    sender.close()
    outcome.growth = system.resident_bytes() - warm
    return outcome


def timed(outcome: Outcome, listener: Listener, system: System, limit_ms: float) -> float:
    """Milliseconds of a valid request.

    A request that takes too long is repeated at once, at most twice, and the fastest counts,
    because another process may have used the processor. A pause above `PAUSE_LIMIT_MS` is always a
    problem.
    """
    fastest = float("inf")
    for _ in range(ATTEMPTS):
        start = time.monotonic()
        try:
            listener.good(system)
        except (OSError, AssertionError) as error:
            outcome.problems.append(f"a valid request to {listener.name} failed: {error!r}")
        took_ms = (time.monotonic() - start) * 1000
        if took_ms > PAUSE_LIMIT_MS:
            outcome.problems.append(f"a valid request to {listener.name} took {took_ms:.0f} ms")
        fastest = min(fastest, took_ms)
        if fastest <= limit_ms:
            break
    return fastest


def judge(outcome: Outcome, system: System, limit_ms: float, growth_max: int) -> None:
    """Add the violated limits to the problems of an outcome."""
    if outcome.growth > growth_max:
        outcome.problems.append(f"grew by more than {growth_max / 1e6:.0f} MB")
    slow = max([*outcome.own_ms, *outcome.others_ms], default=0.0)
    if slow > limit_ms:
        outcome.problems.append(f"a valid request took more than {limit_ms:.0f} ms")
    outcome.problems += system.problems[:3]


def run(
    names: list[str], *, inputs: int, seed: int, limit_ms: float, growth_max: int
) -> Iterator[Outcome]:
    """Send inputs to each of the named listeners, in one system, or in one with TLS."""
    chosen = [it for it in LISTENERS if it.name in names]
    for tls in (False, True):
        some = [it for it in chosen if it.tls == tls]
        if not some:
            continue
        beside = [it for it in LISTENERS if it.tls == tls]
        with (
            tempfile.TemporaryDirectory(prefix="aiot-fuzz-") as folder,
            System(Path(folder), tls=tls) as system,
        ):
            for listener in some:
                others = [it for it in beside if it.name != listener.name]
                outcome = attack(
                    system, listener, others, inputs=inputs, seed=seed, limit_ms=limit_ms
                )
                judge(outcome, system, limit_ms, growth_max)
                yield outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = [listener.name for listener in LISTENERS]
    parser.add_argument("--listener", choices=known, action="append", help="only this one")
    parser.add_argument("--inputs", type=int, default=10_000, help="per listener")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-ms", type=float, default=50.0, help="of a valid request")
    parser.add_argument("--growth-max", type=int, default=MEMORY_GROWTH_MAX, help="in bytes")
    given = parser.parse_args()
    print("listener  inputs       memory   at it    at others")
    failed = False
    for outcome in run(
        given.listener or known,
        inputs=given.inputs,
        seed=given.seed,
        limit_ms=given.limit_ms,
        growth_max=given.growth_max,
    ):
        print(outcome.line(), flush=True)
        failed |= bool(outcome.problems)
    sys.exit(failed)


if __name__ == "__main__":
    main()
