# SPDX-License-Identifier: BSD-3-Clause
"""Returns free memory to the system, which the C library would keep."""

import ctypes
import sys


def give_back_free_memory() -> None:
    """Give free memory of this process back to the system, where the C library supports it (glibc).

    It takes some milliseconds: call it when idle. Without it, memory that SQLite freed in the
    middle of the heap stays resident.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
