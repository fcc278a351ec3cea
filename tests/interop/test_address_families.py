# SPDX-License-Identifier: BSD-3-Clause
"""Pyaiot on machines with one address family, with two, and without a network."""

from pathlib import Path

import pytest

from tests.inner_pytest import assert_passes
from tests.interop.test_scopes import namespace

__all__ = ["namespace"]

MACHINES = (
    "test_a_machine_without_a_network",
    "test_a_machine_with_ipv6_only",
    "test_a_machine_with_ipv6_switched_off",
    "test_a_kernel_without_ipv6",
    "test_loopback_with_ipv6_switched_off",
    "test_every_address_is_both_families_and_the_printed_link_works",
)


@pytest.mark.parametrize("machine", MACHINES)
def test_pyaiot_works_there(namespace: tuple[str, ...], machine: str, tmp_path: Path) -> None:
    assert_passes(namespace, f"tests/interop/address_families.py::{machine}", tmp_path)
