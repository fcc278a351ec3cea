# SPDX-License-Identifier: BSD-3-Clause
"""Entry points of the commands, before anything else is imported, which takes a while.

Ctrl+C during the imports ends the command with the exit code that shells use, without a traceback.
"""

import sys
from pathlib import Path
from typing import Final

EXIT_INTERRUPTED: Final = 130
"""128 and the number of SIGINT."""
_PREFIX: Final = "aiot-"


def main() -> None:
    """`aiot`."""
    _run(sys.argv[1:])


def historic_main() -> None:
    """`aiot-broker` and the like: the historic name of `aiot broker`."""
    _run([Path(sys.argv[0]).stem.removeprefix(_PREFIX), *sys.argv[1:]])


def _run(arguments: list[str]) -> None:
    try:
        from pyaiot.cli.app import run  # noqa: PLC0415 - see above

        run(arguments)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
