# SPDX-License-Identifier: BSD-3-Clause
"""Limits of lookups in the resource directory: anybody may make them."""

import pytest

from pyaiot.errors import Refused, TooFast
from pyaiot.gateways.coap.lookups import (
    LISTS_MAX,
    LOOKUP_AGE_MAX_S,
    LOOKUP_LINKS_BURST,
    LOOKUP_LINKS_MAX,
    Lookups,
    endpoints,
    resources,
)
from pyaiot.gateways.coap.registrations import Directory
from pyaiot.protocols.coap.blocks import BODY_BYTES_MAX
from pyaiot.protocols.coap.resource_directory import read_parameters
from pyaiot.protocols.link_format import CoreLink, read_links

NOW = 1000.0


def directory_of(count: int, links: int) -> Directory:
    directory = Directory()
    listed = [CoreLink(f"/s{number}", (("rt", f"t{number}"),)) for number in range(links)]
    for number in range(count):
        directory.register(read_parameters([f"ep=n{number}"]), listed, "10.0.0.1", 1, now=0.0)
    return directory


def test_lookup_of_too_many_links_must_select_endpoints() -> None:
    lookups = Lookups(directory_of(LOOKUP_LINKS_MAX // 100, 100), "/rd")
    for find in (endpoints, resources):
        with pytest.raises(Refused, match="by ep=<prefix>"):
            lookups.answer(find, ("rt=t1",), now=NOW)
    body = lookups.answer(resources, ("ep=n7", "rt=t1"), now=NOW)
    assert [link.target for link in read_links(body).links] == ["coap://10.0.0.1:1/s1"]
    body = lookups.answer(endpoints, ("ep=n7*", "rt=t1"), now=NOW)
    assert len(read_links(body).links) == 11  # 7, 70 to 79


def test_list_that_is_too_large_must_be_paged() -> None:
    lookups = Lookups(directory_of(20, 100), "/rd")
    with pytest.raises(Refused, match="use page and count"):
        lookups.answer(resources, (), now=NOW)
    body = lookups.answer(resources, ("page=19", "count=100"), now=NOW)
    assert len(read_links(body).links) == 100
    assert len(body) < BODY_BYTES_MAX


def test_lookups_of_all_clients_have_a_rate_and_a_list_costs_once() -> None:
    lookups = Lookups(directory_of(100, 99), "/rd")
    allowed = int(LOOKUP_LINKS_BURST // 10_000)
    for number in range(allowed):
        lookups.answer(resources, (f"rt=t{number}",), now=NOW)
    with pytest.raises(TooFast) as refused:
        lookups.answer(resources, ("rt=other",), now=NOW)
    assert refused.value.retry_after_s == pytest.approx(0.5)
    # The blocks of a list are parts of one list, and cost nothing.
    for _ in range(1000):
        assert lookups.answer(resources, ("rt=t0",), now=NOW + LOOKUP_AGE_MAX_S / 2)
    lookups.answer(resources, ("rt=other",), now=NOW + 0.5)


def test_list_is_made_again_after_some_seconds() -> None:
    directory = directory_of(1, 1)
    lookups = Lookups(directory, "/rd")
    before = lookups.answer(endpoints, (), now=NOW)
    directory.register(read_parameters(["ep=later"]), [], "10.0.0.1", 1, now=0.0)
    assert lookups.answer(endpoints, (), now=NOW + LOOKUP_AGE_MAX_S - 0.1) == before
    assert b"later" in lookups.answer(endpoints, (), now=NOW + LOOKUP_AGE_MAX_S)


def test_lists_that_are_kept_are_bounded() -> None:
    lookups = Lookups(directory_of(1, 1), "/rd")
    for number in range(LISTS_MAX + 5):
        lookups.answer(resources, (f"rt={number}",), now=NOW)
    assert len(lookups._lists) == LISTS_MAX
