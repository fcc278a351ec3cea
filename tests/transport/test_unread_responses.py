# SPDX-License-Identifier: BSD-3-Clause
"""The memory that unread responses may hold."""

import pytest

from pyaiot.errors import Refused
from pyaiot.transport.unread_responses import (
    SMALL_RESPONSE_BYTES_MAX,
    TINY_RESPONSE_BYTES_MAX,
    UNREAD_GRACE_S,
    UnreadResponses,
)

MB = 1_000_000


class Client:
    def __init__(self) -> None:
        self.waiting = 0

    def unread(self) -> int:
        return self.waiting


def admit(
    responses: UnreadResponses, size: int, *, principal: str = "", now: float = 0.0
) -> Client:
    """Admit a response to a client that reads nothing."""
    client = Client()
    responses.admit(client, principal, size, now)
    client.waiting = size
    responses.written(client)
    return client


def test_unread_bytes_are_bounded() -> None:
    responses = UnreadResponses(100 * MB)
    admit(responses, 60 * MB)
    admit(responses, 40 * MB)
    with pytest.raises(Refused):
        admit(responses, 1 * MB)
    assert responses.size == 100 * MB


def test_read_bytes_free_memory() -> None:
    responses = UnreadResponses(100 * MB)
    first = admit(responses, 60 * MB)
    second = admit(responses, 40 * MB)
    first.waiting = 10 * MB
    admit(responses, 50 * MB)
    second.waiting = 0
    admit(responses, 40 * MB)
    assert responses.size == 100 * MB


def test_one_address_may_hold_half_of_the_memory() -> None:
    responses = UnreadResponses(100 * MB)
    admit(responses, 50 * MB, principal="192.0.2.1")
    with pytest.raises(Refused):
        admit(responses, 1 * MB, principal="192.0.2.1")
    admit(responses, 50 * MB, principal="192.0.2.2")


def test_single_response_may_exceed_the_limit() -> None:
    responses = UnreadResponses(100 * MB)
    admit(responses, 500 * MB, principal="192.0.2.1")
    with pytest.raises(Refused):
        admit(responses, 1 * MB, principal="192.0.2.2")


def test_slow_reader_is_disconnected_after_the_grace_period_in_favour_of_others() -> None:
    responses = UnreadResponses(100 * MB)
    old = admit(responses, 60 * MB)
    admit(responses, 40 * MB, now=5.0)
    with pytest.raises(Refused):
        admit(responses, 10 * MB, now=UNREAD_GRACE_S - 0.1)
    client = Client()
    assert responses.admit(client, "", 50 * MB, UNREAD_GRACE_S) == [old]


def test_address_over_its_share_loses_only_its_own_responses() -> None:
    responses = UnreadResponses(100 * MB)
    admit(responses, 50 * MB, principal="192.0.2.2")
    own = admit(responses, 50 * MB, principal="192.0.2.1")
    client = Client()
    assert responses.admit(client, "192.0.2.1", 40 * MB, UNREAD_GRACE_S) == [own]


def test_response_that_is_not_yet_written_keeps_its_memory() -> None:
    responses = UnreadResponses(100 * MB)
    responses.admit(Client(), "", 80 * MB, 0.0)
    with pytest.raises(Refused):
        responses.admit(Client(), "", 80 * MB, 0.0)


def test_closed_connection_holds_no_memory() -> None:
    responses = UnreadResponses(100 * MB)
    client = admit(responses, 100 * MB, principal="192.0.2.1")
    responses.remove(client)
    responses.remove(client)
    assert responses.size == 0
    admit(responses, 50 * MB, principal="192.0.2.1")


def test_small_responses_have_memory_of_their_own_and_tiny_ones_always() -> None:
    responses = UnreadResponses(100 * MB)
    admit(responses, 100 * MB)
    for _ in range(100 * MB // SMALL_RESPONSE_BYTES_MAX):
        admit(responses, SMALL_RESPONSE_BYTES_MAX)
    with pytest.raises(Refused):
        admit(responses, SMALL_RESPONSE_BYTES_MAX)
    with pytest.raises(Refused):
        admit(responses, SMALL_RESPONSE_BYTES_MAX + 1)
    admit(responses, TINY_RESPONSE_BYTES_MAX)


def test_address_over_its_share_still_gets_tiny_responses() -> None:
    responses = UnreadResponses(100 * MB)
    admit(responses, 50 * MB, principal="192.0.2.1")
    admit(responses, SMALL_RESPONSE_BYTES_MAX, principal="192.0.2.1")
    admit(responses, TINY_RESPONSE_BYTES_MAX, principal="192.0.2.1")
