# SPDX-License-Identifier: BSD-3-Clause
"""Real-time priority, for tests that measure speed."""

import shutil
import subprocess
from functools import cache
from typing import Final

PRIORITY: Final = ("chrt", "--rr", "1")
"""What runs with it measures as on a machine that does nothing else. Root may have it."""


@cache
def has_priority() -> bool:
    """Whether this machine gives it to a program that is started with `PRIORITY`."""
    if shutil.which(PRIORITY[0]) is None:
        return False
    return not subprocess.run([*PRIORITY, "true"], capture_output=True, check=False).returncode
