# SPDX-License-Identifier: BSD-3-Clause
"""Programs on a terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

LIMIT_S = 15.0


def on_terminal(command: Sequence[str], environment: Mapping[str, str], *, columns: int) -> str:
    """The output of a program on a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # COLUMNS would outrank the terminal.
    env = {name: value for name, value in environment.items() if name != "COLUMNS"}
    try:
        with subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        ) as process:
            assert process.wait(LIMIT_S) == 0
        os.close(theirs)
        theirs = -1
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not piece:
                break
            shown += piece
        return shown.decode()
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
