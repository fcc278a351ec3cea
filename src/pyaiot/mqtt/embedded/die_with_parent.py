# SPDX-License-Identifier: BSD-3-Clause
"""Becomes another program that ends when its parent does, even if that was killed. Linux only.

Run as a program of its own, without this package: `python -I -S tether.py PARENT PROGRAM ...`.
"""

import ctypes
import os
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that the kernel sends when the parent is gone. It survives execve(2)."""


def main() -> None:
    parent, program, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have gone before the line above.
    if os.getppid() == int(parent):
        os.execv(program, [program, *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
