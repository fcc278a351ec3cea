# SPDX-License-Identifier: BSD-3-Clause
"""`python -m benchmarks` with a forked `aiot` (tests/preloaded.py), for test_benchmarks.py.

Imports take most of the time of a service that is measured for a tenth of a second.
"""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import processes
from benchmarks.__main__ import main

# A file, no module: an installed package may have the name `tests`.
_preloaded: Any = runpy.run_path(str(Path(__file__).with_name("preloaded.py")))


class _Service:
    """A forked `aiot`, with the part of `subprocess.Popen` that benchmarks use."""

    def __init__(self, command: Sequence[str], forked: Any) -> None:
        self.args = command
        self.pid: int = forked.pid
        self.poll = forked.poll
        self.wait = forked.wait
        self.send_signal = forked.send_signal

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _start(command: Sequence[str], **options: Any) -> Any:
    if list(command[1:3]) != ["-m", "pyaiot"]:
        return subprocess.Popen(command, **options)
    forked = _server.start(
        command[3:],
        folder=options["cwd"],
        environment=options["env"],
        stdout=options["stdout"],
        stderr=options["stdout"],
    )
    return _Service(command, forked)


if __name__ == "__main__":
    _server = _preloaded["Preloaded"](os.environ)
    # Of that module alone: the server above is started by `subprocess` itself.
    vars(processes)["subprocess"] = SimpleNamespace(**vars(subprocess) | {"Popen": _start})
    sys.exit(main())
