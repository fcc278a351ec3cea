#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compare the packages of the lock files with known vulnerabilities, by pip-audit.

Usage: audit_packages.py [FILE...]

By default all files `requirements/*.txt` of scripts/lock are checked. The versions and hashes are
those of the files: nothing is installed or resolved. The exit code is 0 if no vulnerability is
known, 1 if some are, and 3 if no database of vulnerabilities answers, or none knows every package:
then nothing is known.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SERVICES: Final = ("pypi", "osv")
"""Databases of vulnerabilities that pip-audit knows, in the order in which they are tried."""
LIMIT_S: Final = 300.0
VULNERABLE: Final = 1
NO_ANSWER: Final = 3


def audit(path: Path, service: str) -> tuple[list[str] | None, str]:
    """The known vulnerabilities of a file as lines; None if the database does not answer, and the
    last error."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command: list[str | Path] = [
            *(sys.executable, "-m", "pip_audit", "--requirement", path, "--disable-pip"),
            *("--require-hashes", "--vulnerability-service", service, "--timeout", "15"),
            *("--progress-spinner", "off", "--format", "json", "--output", report),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return None, f"no answer in {LIMIT_S:.0f} s"
        if not report.exists():
            return None, (done.stderr.strip().splitlines() or ["no report"])[-1]
        found = json.loads(report.read_text("utf-8"))
    packages = found["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped:
        # pip-audit counts them as packages without vulnerabilities, although their state is
        # unknown.
        return None, f"it does not know {len(skipped)} of {len(packages)} packages: {skipped[0]}, …"
    return [
        f"{package['name']} {package['version']}: {it['id']},"
        f" fixed in {', '.join(it['fix_versions']) or 'no version'}"
        for package in packages
        for it in package.get("vulns", [])
    ], ""


def main() -> None:
    given = [Path(argument) for argument in sys.argv[1:]]
    paths = given or sorted((ROOT / "requirements").glob("*.txt"))
    code = 0
    for path in paths:
        for service in SERVICES:
            lines, error = audit(path, service)
            if lines is not None:
                print(f"{path.name}: {len(lines)} known vulnerabilities, asked {service}")
                print("".join(f"  {line}\n" for line in lines), end="")
                code = max(code, VULNERABLE if lines else 0)
                break
            print(f"{path.name}: {service} does not answer: {error[:200]}", file=sys.stderr)
        else:
            print(f"{path.name}: NOT CHECKED, because no database of vulnerabilities answers")
            sys.exit(NO_ANSWER)
    sys.exit(code)


if __name__ == "__main__":
    main()
