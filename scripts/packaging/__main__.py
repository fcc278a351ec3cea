# SPDX-License-Identifier: BSD-3-Clause
"""`python -m scripts.packaging`, from the root of the checkout."""

import argparse
import hashlib
import sys
import time
from pathlib import Path

from scripts.packaging import checks, deb, distributions, wheelhouse
from scripts.packaging.common import ROOT, CannotRelease, report
from scripts.packaging.targets import DEBIANS, PLATFORMS, PYTHONS

SUMS = "SHA256SUMS"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/release", description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder of the results")
    parser.add_argument(
        "--final", action="store_true", help="refuse a version whose changelog has no date"
    )
    parser.add_argument(
        "--wheelhouse",
        nargs="*",
        metavar="PLATFORM",
        choices=list(PLATFORMS),
        help=f"all wheels of an installation without network: {', '.join(PLATFORMS)}",
    )
    parser.add_argument(
        "--python",
        action="append",
        choices=PYTHONS,
        help="versions of Python of the wheelhouses; by default all",
    )
    parser.add_argument(
        "--deb",
        nargs="*",
        metavar="RELEASE",
        choices=list(DEBIANS),
        help=f"Debian packages, for Debian {', '.join(DEBIANS)}, amd64 and arm64",
    )
    parser.add_argument(
        "--architecture",
        action="append",
        choices=list(deb.ARCHITECTURES),
        help="architectures of the Debian packages",
    )
    return parser


def main(words: list[str]) -> int:
    given = arguments().parse_args(words)
    started = time.monotonic()
    into: Path = given.into
    into.mkdir(parents=True, exist_ok=True)
    try:
        checks.check_changelog(final=given.final)
        built = distributions.build(into)
        checks.check_metadata(built[-1])
        wheel = built[-1]
        if given.wheelhouse is not None:
            for platform in given.wheelhouse or PLATFORMS:
                folder = into / f"wheelhouse-{platform}"
                wheelhouse.make(folder, platform, given.python or PYTHONS, wheel)
        if given.deb is not None:
            for release in given.deb or DEBIANS:
                for architecture in given.architecture or deb.ARCHITECTURES:
                    built.append(deb.make(into, release, architecture, wheel))
    except CannotRelease as error:
        print(f"scripts/release: {error}", file=sys.stderr)
        return 2
    lines = [f"{hashlib.sha256(it.read_bytes()).hexdigest()}  {it.name}\n" for it in built]
    (into / SUMS).write_text("".join(lines))
    for path in built:
        report(f"{path.name}: {path.stat().st_size:,} bytes")
    report(f"Built in {time.monotonic() - started:.0f} s, in {into}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
