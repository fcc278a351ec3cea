# SPDX-License-Identifier: BSD-3-Clause
"""Entry points of the commands. The other modules are imported inside, because that takes time.

Ctrl+C during the imports ends the command with the exit code that shells use, without a traceback.
"""

import gc
import os
import stat
import sys
from pathlib import Path
from typing import Final

from pyaiot import __version__

EXIT_INTERRUPTED: Final = 130
"""128 plus the number of SIGINT."""
GARBAGE_OBJECTS: Final = 20_000
"""New objects after which Python looks for cycles among them. Its own value, 700, costs a twentieth
of the start, and more of the CPU time of a busy recorder, whose rows live for one commit."""
_PREFIX: Final = "aiot-"


def main() -> None:
    """`aiot`. A historic name as the first word is one too: in a container, whose program is
    `aiot`, the older start line `aiot-broker …` follows it."""
    words = sys.argv[1:]
    if words and words[0].startswith(_PREFIX):
        from pyaiot.systemd.units import HISTORIC  # noqa: PLC0415 - see above

        if words[0] in HISTORIC:
            sys.argv = words
            historic_main()
    _run(words)


def historic_main() -> None:
    """`aiot-broker` and the like: the legacy name of `aiot broker`."""
    _run([Path(sys.argv[0]).stem.removeprefix(_PREFIX), *sys.argv[1:]])


def is_historic() -> bool:
    """Whether this process was started by a historic name such as `aiot-broker`."""
    return Path(sys.argv[0]).stem.startswith(_PREFIX)


def _write_no_core_files() -> None:
    """A crash must not write memory, which contains keys and passwords, to a disk.

    The hard limit stays, so that `prlimit --core=unlimited --pid` allows it for one process. It is
    inherited by the embedded MQTT broker.
    """
    try:
        import resource  # noqa: PLC0415 - only Unix has it
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _limit_umask() -> None:
    """Make no file or folder that every user can write, with any umask: a user who can write
    ~/.local, which is made with the first file, can replace the accounts in it."""
    os.umask(os.umask(0o077) | stat.S_IWOTH)


def _open_standard_streams() -> None:
    """Open /dev/null in place of each standard stream that is closed (`aiot nodes >&-`).

    Otherwise Python has no such stream, and a socket gets its number: libuv ends a process that
    closes it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it has the lowest free number, which is this one
            os.set_inheritable(number, True)
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _ignore_relative_home() -> None:
    """Use the home of the user's account where HOME is empty or relative, instead of writing keys
    and data to the current folder."""
    if not Path(os.environ.get("HOME", "/")).is_absolute():
        del os.environ["HOME"]


def _run(arguments: list[str]) -> None:
    _open_standard_streams()
    _ignore_relative_home()
    if arguments == ["--version"]:
        print(f"pyaiot {__version__}")
        sys.exit(0)
    gc.set_threshold(GARBAGE_OBJECTS)
    _write_no_core_files()
    _limit_umask()
    try:
        from pyaiot.cli.app import run  # noqa: PLC0415 - see above

        run(arguments)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
