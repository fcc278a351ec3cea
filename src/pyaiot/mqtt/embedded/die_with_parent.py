# SPDX-License-Identifier: BSD-3-Clause
"""Runs a program that gets a signal from the kernel when its parent process ends. Linux only.

Started as a script, without this package: `python -I -S die_with_parent.py PARENT SIGNAL LOCK
PROGRAM ...`. The program holds a lock on the file LOCK until it ends. An earlier one that still
holds it is waited for, and killed if it takes too long. Its standard error, a pipe that the parent
reads, stays open for it when the parent ends.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import stat
import sys
import time
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the kernel sends a signal when the parent ends. The setting survives execve(2)."""
EARLIER_LIMIT_S: Final = 3.0
"""How long an earlier nats-server, whose parent process was killed, may take to end. Then it is
killed."""
_STEP_S: Final = 0.02


def main() -> None:
    parent, number, lock, program, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number))
    # The parent may have ended before the line above.
    if os.getppid() == int(parent):
        wait_for_earlier(lock)
        keep_log_open()
        os.execv(program, [program, *arguments])  # noqa: S606 - no shell is wanted


def wait_for_earlier(path: str) -> None:
    """Lock the file until the end of this process, and of the program that it executes."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(file, True)
    until = time.monotonic() + EARLIER_LIMIT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                _kill_holder(file)
            time.sleep(_STEP_S)
    os.ftruncate(file, 0)
    os.pwrite(file, str(os.getpid()).encode(), 0)


def keep_log_open() -> None:
    """Let this process, and the program that it executes, hold the reading end of its own log.

    The parent has the only other one. Without this, the kernel closes the pipe before it sends the
    signal, and a Go program ends by SIGPIPE when it logs that it has received it.
    """
    if stat.S_ISFIFO(os.fstat(2).st_mode):
        with contextlib.suppress(OSError):  # no /proc
            os.set_inheritable(os.open("/proc/self/fd/2", os.O_RDONLY), True)


def _kill_holder(file: int) -> None:
    text = os.pread(file, 20, 0)
    if text.isdigit():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(text), signal.SIGKILL)


if __name__ == "__main__":
    main()
