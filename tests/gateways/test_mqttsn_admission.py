# SPDX-License-Identifier: BSD-3-Clause
"""Who is client at the MQTT-SN port, and how much is said to whom."""

from typing import TYPE_CHECKING

from pyaiot.gateways.mqttsn import admission
from pyaiot.gateways.mqttsn.admission import Admission, AdmissionControl

if TYPE_CHECKING:
    from collections.abc import Hashable

CONNECT = bytes.fromhex("0a04040101686e6f6465")
PUBLISH = bytes.fromhex("080c200001000131")
FORWARDED_CONNECT = bytes.fromhex("05fe01abcd") + CONNECT


class Door:
    """A doorkeeper whose clients are those that were let in."""

    def __init__(self, packets_per_s: float = 10.0) -> None:
        self.clients: set[tuple[Hashable, bytes | None]] = set()
        self.keeper = AdmissionControl(
            packets_per_s=packets_per_s, is_client=lambda *peer: peer in self.clients
        )

    def hears(self, datagram: bytes, address: str = "a", *, now: float = 1.0) -> Admission:
        admission = self.keeper.judge_datagram(
            datagram, address, lambda: address.partition(":")[0], now=now
        )
        if admission is Admission.ADMITTED and CONNECT in datagram:
            self.clients.add((address, b"\xab\xcd" if datagram[1] == 0xFE else None))
        return admission


def test_a_client_is_heard_up_to_its_rate() -> None:
    door = Door(packets_per_s=10.0)
    door.hears(CONNECT)
    verdicts = [door.hears(PUBLISH) for _ in range(30)]
    assert verdicts == [Admission.ADMITTED] * 19 + [Admission.CLIENT_TOO_FAST] * 11
    assert door.hears(PUBLISH, now=1.2) is Admission.ADMITTED


def test_one_client_does_not_use_up_the_rate_of_another() -> None:
    door = Door(packets_per_s=1.0)
    door.hears(CONNECT)
    door.hears(CONNECT, "b")
    door.hears(FORWARDED_CONNECT, "b")
    while door.hears(PUBLISH) is Admission.ADMITTED:
        pass
    assert door.hears(PUBLISH, "b") is Admission.ADMITTED
    assert door.hears(bytes.fromhex("05fe01abcd") + PUBLISH, "b") is Admission.ADMITTED


def test_connects_of_a_host_are_counted_over_its_ports() -> None:
    door = Door()
    burst = int(admission.CONNECTS_OF_HOST_BURST)
    verdicts = [door.hears(CONNECT, f"h:{port}") for port in range(burst + 5)]
    assert verdicts == [Admission.ADMITTED] * burst + [Admission.CONNECTS_TOO_FAST] * 5
    assert door.hears(CONNECT, "other:1") is Admission.ADMITTED
    assert door.hears(CONNECT, "h:9999", now=1.1) is Admission.ADMITTED


def test_connects_of_all_hosts_have_a_rate_too() -> None:
    door = Door()
    client = sum(
        door.hears(CONNECT, f"host-{number}:1") is Admission.ADMITTED for number in range(10_000)
    )
    assert client == admission.CONNECTS_BURST


def test_strangers_have_one_rate_and_no_entry() -> None:
    door = Door()
    client = sum(
        door.hears(PUBLISH, f"s{number}") is Admission.ADMITTED for number in range(10_000)
    )
    assert client == admission.UNKNOWN_PEERS_BURST
    assert len(door.keeper) == 0


def test_hosts_are_forgotten_beyond_the_limit() -> None:
    door = Door()
    for number in range(admission.HOSTS_MAX + 100):
        door.hears(CONNECT, f"host-{number}:1", now=float(number))
        door.clients.clear()
    assert len(door.keeper._hosts) == admission.HOSTS_MAX


def test_clients_that_left_are_forgotten() -> None:
    door = Door()
    for number in range(5 * admission.STALE_CLIENTS_MAX):
        door.hears(CONNECT, f"host:{number}", now=float(number))
        door.clients.clear()
    assert len(door.keeper._clients) <= admission.STALE_CLIENTS_MAX + 1


def test_who_said_only_connect_is_told_three_times_its_bytes() -> None:
    door = Door()
    door.hears(CONNECT)
    assert door.keeper.take_credit(bytes(20), "a")
    assert not door.keeper.take_credit(bytes(11), "a")
    assert door.keeper.take_credit(bytes(10), "a")
    assert not door.keeper.take_credit(bytes(1), "a")
    door.hears(CONNECT)
    assert door.keeper.take_credit(bytes(30), "a")
    door.hears(PUBLISH)
    assert door.keeper.take_credit(bytes(1000), "a")
    door.hears(CONNECT)
    assert door.keeper.take_credit(bytes(1000), "a")


def test_what_is_forwarded_is_counted_for_its_node() -> None:
    door = Door()
    door.hears(FORWARDED_CONNECT)
    head = bytes.fromhex("05fe00abcd")
    assert not door.keeper.take_credit(head + bytes.fromhex("3c0c") + bytes(60), "a")
    assert door.keeper.take_credit(head + bytes.fromhex("030500"), "a")
    assert door.keeper.take_credit(bytes.fromhex("030500"), "a")


def test_every_datagram_has_a_verdict() -> None:
    door = Door()
    for datagram in (b"", b"\x02", b"\x01\x00", b"\x03\xfe\x00", b"\x03\xfe\x00\x02", b"\xfe\xfe"):
        assert door.hears(datagram) is Admission.ADMITTED
        assert door.keeper.take_credit(datagram, "a")
    long = bytes.fromhex("01000e04040101686e6f6465aabb")
    assert door.hears(long) is Admission.ADMITTED
    assert len(door.keeper) == 2  # it is a CONNECT
