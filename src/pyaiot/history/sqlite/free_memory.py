# SPDX-License-Identifier: BSD-3-Clause
"""Memory that was freed, and that the C library keeps for later."""

import ctypes
import sys


def give_back_free_memory() -> None:
    """Give free memory of this process back to the system, where the C library can (glibc).

    It takes some milliseconds: call it when nothing else is to be done. Without it, what SQLite has
    freed in the middle of the heap stays resident for good.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
