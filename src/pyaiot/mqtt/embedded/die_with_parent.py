# SPDX-License-Identifier: BSD-3-Clause
"""Runs a program that the kernel kills when its parent process ends. Linux only.

Started as a script, without this package: `python -I -S die_with_parent.py PARENT PROGRAM ...`.
"""

import ctypes
import os
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the kernel sends a signal when the parent ends. The setting survives execve(2)."""


def main() -> None:
    parent, program, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have ended before the line above.
    if os.getppid() == int(parent):
        os.execv(program, [program, *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
