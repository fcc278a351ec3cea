# SPDX-License-Identifier: BSD-3-Clause
"""The brokers of a gateway."""

import pytest

from pyaiot.app.gateway_links import brokers_of
from pyaiot.config import GatewaySection
from pyaiot.errors import OperatorError


def test_brokers_are_hosts_with_their_own_ports() -> None:
    section = GatewaySection(broker_host="a, b:81,2001:db8::1,[::1]:82", broker_port=80)
    assert brokers_of(section) == [("a", 80), ("b", 81), ("2001:db8::1", 80), ("::1", 82)]


@pytest.mark.parametrize("hosts", ["a,", "a,b/c", "a,b:x", "a,u@b"])
def test_addresses_that_are_not_valid_are_refused(hosts: str) -> None:
    with pytest.raises(OperatorError, match="not the address of a broker"):
        brokers_of(GatewaySection(broker_host=hosts))


def test_more_brokers_than_the_limit_are_refused() -> None:
    with pytest.raises(OperatorError, match="At most 16 brokers"):
        brokers_of(GatewaySection(broker_host=",".join(["a"] * 17)))
