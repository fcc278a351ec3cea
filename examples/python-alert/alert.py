# SPDX-License-Identifier: BSD-3-Clause
"""Says when a temperature is above a limit, and when it is below again: python alert.py 30

It runs for months: when the broker is gone it waits until it is back. Put your mail, chat or siren
into `tell`.
"""

import asyncio
import sys

from pyaiot.client import Behind, Client, NodeLeft, Reading

RESOURCE = "temperature"
MARGIN = 0.5
"""It must be so much below the limit to be good again, or it would flutter."""


def tell(sentence: str) -> None:
    print(sentence, flush=True)


async def main(limit: float, host: str | None, port: int | None) -> None:
    hot: set[str] = set()
    async with Client(host, port, resources=[RESOURCE], patience_s=float("inf")) as client:
        tell(f"Watching {RESOURCE} above {limit:g}")
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
                        tell(f"{event.uid} is gone, and was too hot")
            except Behind:
                tell("This program was too slow, and looks again")


def look(reading: Reading, limit: float, hot: set[str]) -> None:
    if reading.number is None:
        return
    if reading.number > limit and reading.uid not in hot:
        hot.add(reading.uid)
        tell(f"{reading.uid} is too hot: {reading.data}")
    elif reading.number < limit - MARGIN and reading.uid in hot:
        hot.discard(reading.uid)
        tell(f"{reading.uid} is good again: {reading.data}")


if __name__ == "__main__":
    words = [*sys.argv[1:], *[""] * 3]
    try:
        asyncio.run(main(float(words[0] or 30), words[1] or None, int(words[2] or 0) or None))
    except KeyboardInterrupt:
        tell("Ended")
