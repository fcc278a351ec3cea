# SPDX-License-Identifier: BSD-3-Clause
"""The table of the resource directory: lifetimes, lookups, limits."""

import pytest

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.coap import registrations as module
from pyaiot.gateways.coap.lookups import Lookups, endpoints, resources
from pyaiot.gateways.coap.registrations import LIFETIME_MAX_S, Directory, Registration, uid_of
from pyaiot.protocols.coap.resource_directory import (
    RegistrationParameters,
    read_parameters,
)
from pyaiot.protocols.link_format import CoreLink, format_links, parse_links, read_links

LINKS = parse_links(b'</sensors/temp>;rt="temperature-c x";ct=0;obs,</led>;if="actuator"').links


def register(
    directory: Directory, *arguments: str, host: str = "10.0.0.1", now: float = 0.0
) -> Registration:
    return directory.register(read_parameters(arguments), LINKS, host, 5683, now=now)


def test_endpoint_and_sector_are_the_uid() -> None:
    assert uid_of(RegistrationParameters("node1")) == "node1"
    assert uid_of(RegistrationParameters("node1", "floor-3")) == "node1.floor-3"
    with pytest.raises(ProtocolError):
        uid_of(RegistrationParameters())


def test_registration_ends_when_its_lifetime_is_over() -> None:
    directory = Directory()
    registration = register(directory, "ep=A", "lt=60")
    assert directory.next_expiry() == 60.0
    assert directory.expired(now=59.9) == []
    assert directory.expired(now=60.0) == [registration]
    assert directory.at(registration.location) is None
    assert directory.of("A") is None
    assert len(directory) == 0


def test_update_restarts_or_changes_the_lifetime() -> None:
    directory = Directory()
    registration = register(directory, "ep=A", "lt=60")
    directory.update(registration, RegistrationParameters(), "10.0.0.1", 5683, now=50.0)
    assert directory.expired(now=60.0) == []
    directory.update(registration, read_parameters(("lt=300", "et=x")), "10.0.0.2", 1, now=100.0)
    assert directory.expired(now=399.0) == []
    assert registration.base == "coap://10.0.0.2:1"
    assert registration.attributes == (("et", "x"),)
    assert directory.expired(now=400.0) == [registration]


def test_registration_once_more_keeps_its_location() -> None:
    directory = Directory()
    first = register(directory, "ep=A", "lt=60")
    second = register(directory, "ep=A", "lt=90", now=30.0)
    other = register(directory, "ep=B")
    assert first.location == second.location != other.location
    assert first.ended
    assert directory.expired(now=119.0) == []
    assert directory.expired(now=120.0) == [second]


def test_lifetimes_are_90000_s_and_at_most_30_days() -> None:
    directory = Directory()
    assert register(directory, "ep=A").expires_at == 90_000
    assert register(directory, "ep=B", "lt=4294967295").expires_at == LIFETIME_MAX_S
    assert LIFETIME_MAX_S == 30 * 86_400


def test_many_updates_leave_no_pile_of_old_times() -> None:
    directory = Directory()
    registration = register(directory, "ep=A")
    for second in range(10_000):
        directory.update(
            registration, RegistrationParameters(), "10.0.0.1", 5683, now=float(second)
        )
    assert len(directory._expiry) < 100
    assert directory.expired(now=99_998.0) == []
    assert directory.expired(now=99_999.0) == [registration]


def found(directory: Directory, *arguments: str) -> tuple[list[str], list[str]]:
    lookups = Lookups(directory, "/rd")
    listed = read_links(lookups.answer(endpoints, arguments, now=1000.0)).links
    links = read_links(lookups.answer(resources, arguments, now=1000.0)).links
    return [link.values("ep")[0] for link in listed], [link.target for link in links]


@pytest.mark.parametrize(
    ("argument", "names", "targets"),
    [
        ("ep=A", ["A"], ["coap://10.0.0.1/sensors/temp", "coap://10.0.0.1/led"]),
        ("et=lamp", ["B"], ["coap://10.0.0.2/sensors/temp", "coap://10.0.0.2/led"]),
        ("d=x", ["B"], ["coap://10.0.0.2/sensors/temp", "coap://10.0.0.2/led"]),
        ("rt=temp*", ["A", "B"], ["coap://10.0.0.1/sensors/temp", "coap://10.0.0.2/sensors/temp"]),
        ("rt=x", ["A", "B"], ["coap://10.0.0.1/sensors/temp", "coap://10.0.0.2/sensors/temp"]),
        ("if=actuator", ["A", "B"], ["coap://10.0.0.1/led", "coap://10.0.0.2/led"]),
        ("href=/led", ["A", "B"], ["coap://10.0.0.1/led", "coap://10.0.0.2/led"]),
        ("href=/rd/1", ["A"], ["coap://10.0.0.1/sensors/temp", "coap://10.0.0.1/led"]),
        ("rt=temperature", [], []),
        ("nothing=*", [], []),
        ("count=1", ["A"], ["coap://10.0.0.1/sensors/temp"]),
    ],
)
def test_lookup_finds_by_attributes_of_endpoint_and_of_link(
    argument: str, names: list[str], targets: list[str]
) -> None:
    directory = Directory()
    register(directory, "ep=A")
    register(directory, "ep=B", "d=x", "et=lamp", host="10.0.0.2")
    assert found(directory, argument) == (names, targets)


def test_each_filter_must_match() -> None:
    directory = Directory()
    register(directory, "ep=A")
    assert found(directory, "ep=A", "rt=x")[1] == ["coap://10.0.0.1/sensors/temp"]
    assert found(directory, "ep=B", "rt=x") == ([], [])


def test_endpoint_lookup_has_the_registered_parameters() -> None:
    directory = Directory()
    register(directory, "ep=A", "d=x", "lt=60", "Et=y", host="2001:db8::1")
    assert Lookups(directory, "/rd").answer(endpoints, (), now=1000.0) == (
        b'</rd/1>;ep="A";base="coap://[2001:db8::1]";lt=60;d="x";rt="core.rd-ep";et="y"'
    )


def test_registrations_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REGISTRATIONS_MAX", 2)
    directory = Directory()
    first = register(directory, "ep=A")
    register(directory, "ep=B")
    register(directory, "ep=B")
    with pytest.raises(Refused, match="at most 2"):
        register(directory, "ep=C")
    directory.remove(first)
    register(directory, "ep=C")


def test_links_of_all_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(format_links(LINKS))
    monkeypatch.setattr(module, "LINK_BYTES_TOTAL_MAX", 2 * size)
    directory = Directory()
    first = register(directory, "ep=A")
    register(directory, "ep=B")
    with pytest.raises(Refused, match="full"):
        register(directory, "ep=C")
    register(directory, "ep=B")
    simple = directory.register(RegistrationParameters("C"), (), "10.0.0.1", 5683, now=0.0)
    directory.fill(simple, LINKS)
    assert simple.links == ()
    directory.remove(first)
    directory.fill(simple, LINKS)
    assert simple.links == tuple(LINKS)
    assert simple.size == size


def test_too_many_links_of_one_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINK_BYTES_MAX", 10)
    directory = Directory()
    simple = directory.register(RegistrationParameters("C"), (), "10.0.0.1", 5683, now=0.0)
    directory.fill(simple, [CoreLink("/123456"), CoreLink("/7")])
    assert simple.links == ()
