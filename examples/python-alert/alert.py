# SPDX-License-Identifier: BSD-3-Clause
"""Report when a temperature exceeds a limit, and when it is below again: python alert.py 30

It runs for months and reconnects to the broker. Put your mail, chat or siren
into `report`.
"""

import asyncio
import sys

from pyaiot.client import Behind, Client, NodeLeft, Reading

RESOURCE = "temperature"
MARGIN = 0.5
"""Hysteresis: below the limit by this much, the temperature is normal again."""


def report(sentence: str) -> None:
    print(sentence, flush=True)


async def main(limit: float, host: str | None, port: int | None) -> None:
    hot: set[str] = set()
    async with Client(host, port, resources=[RESOURCE], patience_s=float("inf")) as client:
        report(f"Watching {RESOURCE} above {limit:g}")
        while True:
            try:
                events = client.events()
                known = [node.resources.get(RESOURCE) for node in client.nodes.values()]
                for reading in filter(None, known):
                    look(reading, limit, hot)
                async for event in events:
                    if isinstance(event, Reading):
                        look(event, limit, hot)
                    elif isinstance(event, NodeLeft) and event.uid in hot:
                        hot.discard(event.uid)
                        report(f"{event.uid} is offline, and was too hot")
            except Behind:
                report("This program was too slow, and starts again")


def look(reading: Reading, limit: float, hot: set[str]) -> None:
    if reading.number is None:
        return
    if reading.number > limit and reading.uid not in hot:
        hot.add(reading.uid)
        report(f"{reading.uid} is too hot: {reading.data}")
    elif reading.number < limit - MARGIN and reading.uid in hot:
        hot.discard(reading.uid)
        report(f"{reading.uid} is normal again: {reading.data}")


if __name__ == "__main__":
    words = [*sys.argv[1:], *[""] * 3]
    try:
        asyncio.run(main(float(words[0] or 30), words[1] or None, int(words[2] or 0) or None))
    except KeyboardInterrupt:
        report("Ended")
