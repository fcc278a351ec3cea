# SPDX-License-Identifier: BSD-3-Clause
"""Who is heard at the MQTT-SN port, and how much is said to whom."""

from typing import TYPE_CHECKING

from pyaiot.gateways.mqttsn import admission
from pyaiot.gateways.mqttsn.admission import Doorkeeper, Verdict

if TYPE_CHECKING:
    from collections.abc import Hashable

CONNECT = bytes.fromhex("0a04040101686e6f6465")
PUBLISH = bytes.fromhex("080c200001000131")
FORWARDED_CONNECT = bytes.fromhex("05fe01abcd") + CONNECT


class Door:
    """A doorkeeper whose clients are those that were let in."""

    def __init__(self, packets_per_s: float = 10.0) -> None:
        self.clients: set[tuple[Hashable, bytes | None]] = set()
        self.keeper = Doorkeeper(
            packets_per_s=packets_per_s, is_client=lambda *peer: peer in self.clients
        )

    def hears(self, datagram: bytes, address: str = "a", *, now: float = 1.0) -> Verdict:
        verdict = self.keeper.on_datagram(
            datagram, address, lambda: address.partition(":")[0], now=now
        )
        if verdict is Verdict.HEARD and CONNECT in datagram:
            self.clients.add((address, b"\xab\xcd" if datagram[1] == 0xFE else None))
        return verdict


def test_a_client_is_heard_up_to_its_rate() -> None:
    door = Door(packets_per_s=10.0)
    door.hears(CONNECT)
    verdicts = [door.hears(PUBLISH) for _ in range(30)]
    assert verdicts == [Verdict.HEARD] * 19 + [Verdict.TOO_FAST] * 11
    assert door.hears(PUBLISH, now=1.2) is Verdict.HEARD


def test_one_client_does_not_use_up_the_rate_of_another() -> None:
    door = Door(packets_per_s=1.0)
    door.hears(CONNECT)
    door.hears(CONNECT, "b")
    door.hears(FORWARDED_CONNECT, "b")
    while door.hears(PUBLISH) is Verdict.HEARD:
        pass
    assert door.hears(PUBLISH, "b") is Verdict.HEARD
    assert door.hears(bytes.fromhex("05fe01abcd") + PUBLISH, "b") is Verdict.HEARD


def test_connects_of_a_host_are_counted_over_its_ports() -> None:
    door = Door()
    burst = int(admission.CONNECTS_OF_HOST_BURST)
    verdicts = [door.hears(CONNECT, f"h:{port}") for port in range(burst + 5)]
    assert verdicts == [Verdict.HEARD] * burst + [Verdict.CONNECTS_TOO_FAST] * 5
    assert door.hears(CONNECT, "other:1") is Verdict.HEARD
    assert door.hears(CONNECT, "h:9999", now=1.1) is Verdict.HEARD


def test_connects_of_all_hosts_have_a_rate_too() -> None:
    door = Door()
    heard = sum(
        door.hears(CONNECT, f"host-{number}:1") is Verdict.HEARD for number in range(10_000)
    )
    assert heard == admission.CONNECTS_BURST


def test_strangers_have_one_rate_and_no_entry() -> None:
    door = Door()
    heard = sum(door.hears(PUBLISH, f"s{number}") is Verdict.HEARD for number in range(10_000))
    assert heard == admission.STRANGERS_BURST
    assert len(door.keeper) == 0


def test_hosts_are_forgotten_beyond_the_limit() -> None:
    door = Door()
    for number in range(admission.HOSTS_MAX + 100):
        door.hears(CONNECT, f"host-{number}:1", now=float(number))
        door.clients.clear()
    assert len(door.keeper._hosts) == admission.HOSTS_MAX


def test_clients_that_left_are_forgotten() -> None:
    door = Door()
    for number in range(5 * admission.FORGOTTEN_MAX):
        door.hears(CONNECT, f"host:{number}", now=float(number))
        door.clients.clear()
    assert len(door.keeper._clients) <= admission.FORGOTTEN_MAX + 1


def test_who_said_only_connect_is_told_three_times_its_bytes() -> None:
    door = Door()
    door.hears(CONNECT)
    assert door.keeper.may_send(bytes(20), "a")
    assert not door.keeper.may_send(bytes(11), "a")
    assert door.keeper.may_send(bytes(10), "a")
    assert not door.keeper.may_send(bytes(1), "a")
    door.hears(CONNECT)
    assert door.keeper.may_send(bytes(30), "a")
    door.hears(PUBLISH)
    assert door.keeper.may_send(bytes(1000), "a")
    door.hears(CONNECT)
    assert door.keeper.may_send(bytes(1000), "a")


def test_what_is_forwarded_is_counted_for_its_node() -> None:
    door = Door()
    door.hears(FORWARDED_CONNECT)
    head = bytes.fromhex("05fe00abcd")
    assert not door.keeper.may_send(head + bytes.fromhex("3c0c") + bytes(60), "a")
    assert door.keeper.may_send(head + bytes.fromhex("030500"), "a")
    assert door.keeper.may_send(bytes.fromhex("030500"), "a")


def test_every_datagram_has_a_verdict() -> None:
    door = Door()
    for datagram in (b"", b"\x02", b"\x01\x00", b"\x03\xfe\x00", b"\x03\xfe\x00\x02", b"\xfe\xfe"):
        assert door.hears(datagram) is Verdict.HEARD
        assert door.keeper.may_send(datagram, "a")
    long = bytes.fromhex("01000e04040101686e6f6465aabb")
    assert door.hears(long) is Verdict.HEARD
    assert len(door.keeper) == 2  # it is a CONNECT
