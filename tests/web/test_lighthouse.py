# SPDX-License-Identifier: BSD-3-Clause
"""Lighthouse scores of the real dashboard with nodes, on a phone."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pyaiot.web.stored_files import load_built
from scripts import javascript
from tests.priority import PRIORITY, has_priority
from tests.programs import ANY_PORTS, Programs
from tests.web.conftest import chromium
from tests.web.test_dashboard_page import no_page

pytestmark = pytest.mark.sockets

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "tests" / "web" / "js"
WANTED = {"accessibility": 100, "best-practices": 100}
PERFORMANCE = {True: 90, False: 75}
"""With real-time priority, and beside other tests, which leave it 66 to 92. The best of several
attempts counts."""
TRIES = 6
"""Attempts, of which the best counts: a busy machine has no steady figure for performance."""
RUN_LIMIT_S = 90.0
FAST_INDEX = 1500
SLOWDOWN = {True: 4, False: 2}
"""The slowdown that simulates a phone, on a fast machine or not: Lighthouse measures its speed as
benchmarkIndex (its docs/throttling.md, "Calibrating the CPU slowdown")."""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of a dashboard with the nodes of the demo."""
    if not load_built():
        no_page()
    programs = Programs(tmp_path)
    output = programs.aiot("demo", *ANY_PORTS).startup_text()
    yield output.split(" at ")[1].split()[0]
    programs.close()


def scores(
    url: str, report: Path, categories: Iterable[str], *, fast: bool
) -> tuple[dict[str, int], float]:
    """Scores by category, and the speed of the machine."""
    priority = PRIORITY if has_priority() else ()
    node, packages = javascript.command("node"), javascript.packages(PACKAGES)
    if node is None or packages is None:
        pytest.skip("Lighthouse is not installed (scripts/javascript.py --packages tests/web/js)")
    command = [
        *(
            *priority,
            *node,
            str(packages / "node_modules" / "lighthouse" / "cli" / "index.js"),
            url,
        ),
        *("--quiet", "--output=json", f"--output-path={report}"),
        f"--only-categories={','.join(categories)}",
        "--chrome-flags=--headless --no-sandbox --disable-gpu",
        "--no-enable-error-reporting",
        f"--throttling.cpuSlowdownMultiplier={SLOWDOWN[fast]}",
    ]
    # Chromium has a socket among its temporary files, and the path of a socket has at most 107
    # bytes: more than the folder of a test leaves.
    with tempfile.TemporaryDirectory(prefix="pyaiot-") as folder:
        environment = {**os.environ, "CHROME_PATH": chromium(), "TMPDIR": folder}
        ended = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(report.read_text("utf-8"))
    found = {name: round(it["score"] * 100) for name, it in result["categories"].items()}
    return found, result["environment"]["benchmarkIndex"]


def test_lighthouse_scores_are_high(url: str, tmp_path: Path) -> None:
    tried = []
    fast = True
    wanted = {**WANTED, "performance": PERFORMANCE[has_priority()]}
    for number in range(TRIES):
        found, index = scores(url, tmp_path / f"{number}.json", wanted, fast=fast)
        wanted = {name: score for name, score in wanted.items() if found[name] < score}
        if not wanted:
            return
        tried.append((found, index, SLOWDOWN[fast]))
        fast = fast and index >= FAST_INDEX
    pytest.fail(f"Lighthouse: {tried}, wanted {wanted}")
