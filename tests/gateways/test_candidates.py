# SPDX-License-Identifier: BSD-3-Clause
"""The ports of a node that get requests."""

import pytest

from pyaiot.gateways.coap.candidates import candidate_ports

SOURCE = 49152
COAP = 5683


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        (candidate_ports(SOURCE), [COAP, SOURCE]),
        (candidate_ports(COAP), [COAP]),
        (candidate_ports(SOURCE, source_first=True), [SOURCE, COAP]),
        (candidate_ports(SOURCE, answered=SOURCE), [SOURCE, COAP]),
        (candidate_ports(SOURCE, answered=7000), [7000, COAP, SOURCE]),
        (candidate_ports(SOURCE, taken=[COAP]), [SOURCE]),
        (candidate_ports(SOURCE, answered=COAP, taken=[COAP]), [SOURCE]),
        (candidate_ports(SOURCE, source_first=True, taken=[COAP]), [SOURCE]),
        # Several nodes behind one socket: the port that a node posts from is always its own.
        (candidate_ports(SOURCE, taken=[SOURCE, COAP]), [SOURCE]),
        (candidate_ports(COAP, taken=[COAP]), [COAP]),
    ],
)
def test_ports_of_others_are_excluded_and_the_likeliest_is_first(
    ports: list[int], expected: list[int]
) -> None:
    assert ports == expected
