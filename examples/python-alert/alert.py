# SPDX-License-Identifier: BSD-3-Clause
"""Report temperatures that exceed a limit, and their return below it: python alert.py 30

The client reconnects by itself, so the program can run for months. Send a mail or a chat message in
`notify`.
"""

import asyncio
import sys

from pyaiot.client import Behind, Client, NodeLeft, Reading

RESOURCE = "temperature"
MARGIN = 0.5
"""Hysteresis: how far below the limit a temperature is normal again."""


def notify(sentence: str) -> None:
    print(sentence, flush=True)


async def main(limit: float, host: str | None, port: int | None) -> None:
    hot: set[str] = set()
    async with Client(host, port, resources=[RESOURCE], patience_s=float("inf")) as client:
        notify(f"Watching {RESOURCE} above {limit:g}")
        while True:
            try:
                events = client.events()
                known = [node.resources.get(RESOURCE) for node in client.nodes.values()]
                for reading in filter(None, known):
                    check(reading, limit, hot)
                async for event in events:
                    if isinstance(event, Reading):
                        check(event, limit, hot)
                    elif isinstance(event, NodeLeft) and event.uid in hot:
                        hot.discard(event.uid)
                        notify(f"{event.uid} is offline and was too hot")
            except Behind:
                notify("This program was too slow: checking all nodes again")


def check(reading: Reading, limit: float, hot: set[str]) -> None:
    if reading.number is None:
        return
    if reading.number > limit and reading.uid not in hot:
        hot.add(reading.uid)
        notify(f"{reading.uid} is too hot: {reading.data}")
    elif reading.number < limit - MARGIN and reading.uid in hot:
        hot.discard(reading.uid)
        notify(f"{reading.uid} is normal again: {reading.data}")


if __name__ == "__main__":
    arguments = [*sys.argv[1:], *[""] * 3]
    try:
        asyncio.run(
            main(float(arguments[0] or 30), arguments[1] or None, int(arguments[2] or 0) or None)
        )
    except KeyboardInterrupt:
        notify("Ended")
