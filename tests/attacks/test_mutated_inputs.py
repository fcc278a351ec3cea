# SPDX-License-Identifier: BSD-3-Clause
"""A short run of `fuzz/listeners.py`: mutated inputs at each listener of a running service."""

import subprocess
import sys
from pathlib import Path

import pytest

LISTENERS = Path(__file__).parents[2] / "fuzz" / "listeners.py"
INPUTS = 130
LIMIT_MS = 250.0
"""Time limit of a valid request, in processes that run beside other tests."""
GROWTH_MAX = 6_000_000
"""In bytes. A short run has hardly a warm-up."""
NAMES = (
    *(
        "web",
        "client",
        "gateway",
        "node",
        "coap",
        "oscore",
        "edhoc",
        "coaps",
        "dtls",
        "mqttsn",
        "mqtt",
        "tls",
    ),
)


@pytest.mark.sockets
def test_service_survives_mutated_inputs_and_serves_others() -> None:
    flags = [
        f"--inputs={INPUTS}",
        f"--limit-ms={LIMIT_MS}",
        f"--growth-max={GROWTH_MAX}",
        "--seed=5683",
    ]
    done = subprocess.run(
        [sys.executable, LISTENERS, *flags],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = done.stdout.splitlines()[1:]
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert all(line.endswith("  ok") for line in lines)
