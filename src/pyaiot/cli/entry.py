# SPDX-License-Identifier: BSD-3-Clause
"""Entry points of the commands. The other modules are imported inside, because that takes time.

Ctrl+C during the imports ends the command with the exit code that shells use, without a traceback.
"""

import sys
from pathlib import Path
from typing import Final

from pyaiot import __version__

EXIT_INTERRUPTED: Final = 130
"""128 plus the number of SIGINT."""
_PREFIX: Final = "aiot-"


def main() -> None:
    """`aiot`."""
    _run(sys.argv[1:])


def historic_main() -> None:
    """`aiot-broker` and the like: the legacy name of `aiot broker`."""
    _run([Path(sys.argv[0]).stem.removeprefix(_PREFIX), *sys.argv[1:]])


def is_historic() -> bool:
    """Whether this process was started by a historic name such as `aiot-broker`."""
    return Path(sys.argv[0]).stem.startswith(_PREFIX)


def _run(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        print(f"pyaiot {__version__}")
        sys.exit(0)
    try:
        from pyaiot.cli.app import run  # noqa: PLC0415 - see above

        run(arguments)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
