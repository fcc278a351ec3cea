# SPDX-License-Identifier: BSD-3-Clause
"""Pyaiot on machines with one address family, with two, and without a network."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.test_scopes import ROOT, namespace

__all__ = ["namespace"]

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
MACHINES = (
    "test_a_machine_without_a_network",
    "test_a_machine_with_ipv6_only",
    "test_a_machine_with_ipv6_switched_off",
    "test_a_kernel_without_ipv6",
    "test_loopback_with_ipv6_switched_off",
    "test_every_address_is_both_families_and_the_printed_link_works",
)


@pytest.mark.parametrize("machine", MACHINES)
def test_pyaiot_works_there(namespace: tuple[str, ...], machine: str) -> None:
    inner = Path(__file__).with_name("address_families.py")
    result = subprocess.run(
        [*namespace, *PYTEST, f"{inner}::{machine}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout
