# SPDX-License-Identifier: BSD-3-Clause
"""Admission of connections to a listener."""

import pytest

from pyaiot.errors import Refused
from pyaiot.transport.connection_table import ConnectionTable, principal_of


@pytest.mark.parametrize(
    ("address", "principal"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", ""),
        ("127.8.9.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_every_address_of_a_host_has_the_same_principal(address: str, principal: str) -> None:
    assert principal_of(address) == principal


def test_one_address_may_use_half_of_the_connections() -> None:
    table: ConnectionTable[str] = ConnectionTable(8)
    for number in range(4):
        assert table.admit(f"a{number}", "192.0.2.1") is None
    with pytest.raises(Refused, match="4 connections of this address"):
        table.admit("a4", "192.0.2.1")
    for number in range(4):
        assert table.admit(f"b{number}", "192.0.2.2") is None
    table.remove("a0")
    assert table.admit("a5", "192.0.2.1") is None
    assert len(table) == 8


def test_proxy_on_loopback_may_use_every_connection() -> None:
    table: ConnectionTable[int] = ConnectionTable(8)
    for number in range(8):
        assert table.admit(number, "") is None


def test_connections_without_a_request_are_evicted_before_idle_ones_and_busy_ones_never() -> None:
    table: ConnectionTable[str] = ConnectionTable(4)
    for name in ("served", "idle", "unused 1", "unused 2"):
        table.admit(name, "")
    table.busy("served")
    table.busy("idle")
    table.idle("idle")
    evicted = []
    for name in ("new 1", "new 2", "new 3"):
        evicted.append(table.admit(name, ""))
        table.busy(name)
    assert evicted == ["unused 1", "unused 2", "idle"]
    with pytest.raises(Refused, match="4 connections are open"):
        table.admit("one more", "")
    assert len(table) == 4


def test_removed_connection_is_not_counted_again() -> None:
    table: ConnectionTable[str] = ConnectionTable(2)
    table.admit("a", "192.0.2.1")
    table.remove("a")
    table.idle("a")
    table.remove("a")
    assert len(table) == 0
    assert table.admit("b", "192.0.2.1") is None
