# SPDX-License-Identifier: BSD-3-Clause
"""A service that has started, in a separate process: its objects stay frozen."""

import subprocess
import sys

from pyaiot.app.runner import STARTED_AFTER_S

_PROGRAM = """
import asyncio, gc, sys
from pyaiot.app.runner import run_until_signal
from pyaiot.config import LogSection

class Loop(asyncio.SelectorEventLoop):
    jumped_s = 0.0
    def time(self):
        return super().time() + self.jumped_s

async def service():
    loop = asyncio.get_running_loop()
    kept = [[] for _ in range(1000)]
    for jumped_s in map(float, sys.argv[1:]):
        loop.jumped_s = jumped_s
        for _ in range(3):
            await asyncio.sleep(0)
        print(gc.get_freeze_count() >= len(kept))

asyncio.DefaultEventLoopPolicy._loop_factory = Loop  # the clock of the test
run_until_signal(service(), LogSection(), quiet=True, short_lived=True)
"""


def test_objects_of_the_start_are_not_searched_for_cycles_again() -> None:
    times = (str(STARTED_AFTER_S - 1), str(STARTED_AFTER_S + 1))
    found = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *times], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["False", "True"]
