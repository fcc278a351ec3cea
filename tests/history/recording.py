# SPDX-License-Identifier: BSD-3-Clause
"""Records as fast as possible and prints the number of committed readings, until it is killed.

`recording.py FILE FIRST`: the readings of the node `n` have the numbers from
FIRST on, ten resources in turn. Each line on standard output is the number of committed readings.
"""

import os
import sys
import time
from pathlib import Path
from typing import Final

from pyaiot.history import recorder
from pyaiot.history.recorder import Recorder
from pyaiot.history.sqlite.file import SqliteFile
from pyaiot.history.store import RetentionPolicy
from pyaiot.messages import Reading

RESOURCES: Final = 10


def main(path: Path, first: int) -> None:
    store = SqliteFile(path, RetentionPolicy(None, None, None, None))
    store.claim()

    def committed(count: int) -> None:
        os.write(1, b"%d\n" % (first + count))

    recording = Recorder(store, committed=committed)
    recording.start()
    number = first
    while True:
        while recording.waiting > recorder.QUEUE_MAX // 2:
            time.sleep(0.001)
        resource = f"r{number % RESOURCES}"
        ts = 1_700_000_000 + number / 1000  # in the past: every number has its time
        reading = Reading(uid="n", resource=resource, data=str(number), ts=ts, number=float(number))
        recording.message_published(reading)
        number += 1
        if number % 50 == 0:
            time.sleep(0.0005)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
