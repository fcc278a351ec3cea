#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run the tests again that failed in the last run of pytest, one after another.

Usage: failed_tests.py             run them; exit code 0 if each of them passes now, and 1
                                   otherwise, or if more than FAILURES_MAX failed
       failed_tests.py --forget    forget the failures of earlier runs

Tests that failed beside others and pass alone are named: something in them depends on the load.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAST_FAILED = ".pytest_cache/v/cache/lastfailed"
FAILURES_MAX = 10
"""More failures than this have another reason than the load, and are not run again."""


def main(root: Path = ROOT) -> int:
    """Run the failed tests of a checkout again and return the exit code."""
    record = root / LAST_FAILED
    tests = sorted(json.loads(record.read_text("utf-8"))) if record.exists() else []
    if not 0 < len(tests) <= FAILURES_MAX:
        print(f"{len(tests)} failures; 1 to {FAILURES_MAX} would run again.", file=sys.stderr)
        return 1
    print(f"Running the failures again ({len(tests)}), one after another ...", file=sys.stderr)
    command = [sys.executable, "-m", "pytest", *tests]
    if subprocess.run(command, cwd=root, check=False).returncode != 0:
        return 1
    for test in tests:
        print(f"Unstable: {test} failed beside other tests and passed alone.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--forget"]:
        (ROOT / LAST_FAILED).unlink(missing_ok=True)
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        sys.exit(main())
