# SPDX-License-Identifier: BSD-3-Clause
"""Which datagrams are read at the MQTT-SN port, and what unverified clients get."""

from typing import TYPE_CHECKING

from pyaiot.gateways.mqttsn import admission
from pyaiot.gateways.mqttsn.admission import Admission, AdmissionControl

if TYPE_CHECKING:
    from collections.abc import Hashable

CONNECT = bytes.fromhex("0a04040101686e6f6465")
PUBLISH = bytes.fromhex("080c200001000131")
FORWARDED_CONNECT = bytes.fromhex("05fe01abcd") + CONNECT


class Port:
    """Admission control whose clients are those that were admitted."""

    def __init__(self, packets_per_s: float = 10.0) -> None:
        self.clients: set[tuple[Hashable, bytes | None]] = set()
        self.control = AdmissionControl(
            packets_per_s=packets_per_s, is_client=lambda *peer: peer in self.clients
        )

    def receive(self, datagram: bytes, address: str = "a", *, now: float = 1.0) -> Admission:
        verdict = self.control.judge_datagram(
            datagram, address, lambda: address.partition(":")[0], now=now
        )
        if verdict is Admission.ADMITTED and CONNECT in datagram:
            self.clients.add((address, b"\xab\xcd" if datagram[1] == 0xFE else None))
        return verdict


def test_a_client_is_admitted_up_to_its_rate() -> None:
    port = Port(packets_per_s=10.0)
    port.receive(CONNECT)
    verdicts = [port.receive(PUBLISH) for _ in range(30)]
    assert verdicts == [Admission.ADMITTED] * 19 + [Admission.CLIENT_TOO_FAST] * 11
    assert port.receive(PUBLISH, now=1.2) is Admission.ADMITTED


def test_one_client_does_not_use_up_the_rate_of_another() -> None:
    port = Port(packets_per_s=1.0)
    port.receive(CONNECT)
    port.receive(CONNECT, "b")
    port.receive(FORWARDED_CONNECT, "b")
    while port.receive(PUBLISH) is Admission.ADMITTED:
        pass
    assert port.receive(PUBLISH, "b") is Admission.ADMITTED
    assert port.receive(bytes.fromhex("05fe01abcd") + PUBLISH, "b") is Admission.ADMITTED


def test_connects_of_a_host_are_counted_over_its_ports() -> None:
    port = Port()
    burst = int(admission.CONNECTS_OF_HOST_BURST)
    verdicts = [port.receive(CONNECT, f"h:{number}") for number in range(burst + 5)]
    assert verdicts == [Admission.ADMITTED] * burst + [Admission.CONNECTS_TOO_FAST] * 5
    assert port.receive(CONNECT, "other:1") is Admission.ADMITTED
    assert port.receive(CONNECT, "h:9999", now=1.1) is Admission.ADMITTED


def test_connects_of_all_hosts_have_a_rate_too() -> None:
    port = Port()
    client = sum(
        port.receive(CONNECT, f"host-{number}:1") is Admission.ADMITTED for number in range(10_000)
    )
    assert client == admission.CONNECTS_BURST


def test_unknown_peers_share_one_rate_and_have_no_entry() -> None:
    port = Port()
    client = sum(
        port.receive(PUBLISH, f"s{number}") is Admission.ADMITTED for number in range(10_000)
    )
    assert client == admission.UNKNOWN_PEERS_BURST
    assert len(port.control) == 0


def test_hosts_are_forgotten_beyond_the_limit() -> None:
    port = Port()
    for number in range(admission.HOSTS_MAX + 100):
        port.receive(CONNECT, f"host-{number}:1", now=float(number))
        port.clients.clear()
    assert len(port.control._hosts) == admission.HOSTS_MAX


def test_clients_that_left_are_forgotten() -> None:
    port = Port()
    for number in range(5 * admission.STALE_CLIENTS_MAX):
        port.receive(CONNECT, f"host:{number}", now=float(number))
        port.clients.clear()
    assert len(port.control._clients) <= admission.STALE_CLIENTS_MAX + 1


def test_an_unverified_client_gets_three_times_its_bytes() -> None:
    port = Port()
    port.receive(CONNECT)
    assert port.control.take_credit(bytes(20), "a")
    assert not port.control.take_credit(bytes(11), "a")
    assert port.control.take_credit(bytes(10), "a")
    assert not port.control.take_credit(bytes(1), "a")
    port.receive(CONNECT)
    assert port.control.take_credit(bytes(30), "a")
    port.receive(PUBLISH)
    assert port.control.take_credit(bytes(1000), "a")
    port.receive(CONNECT)
    assert port.control.take_credit(bytes(1000), "a")


def test_forwarded_datagrams_count_for_their_node() -> None:
    port = Port()
    port.receive(FORWARDED_CONNECT)
    head = bytes.fromhex("05fe00abcd")
    assert not port.control.take_credit(head + bytes.fromhex("3c0c") + bytes(60), "a")
    assert port.control.take_credit(head + bytes.fromhex("030500"), "a")
    assert port.control.take_credit(bytes.fromhex("030500"), "a")


def test_every_datagram_has_a_verdict() -> None:
    port = Port()
    for datagram in (b"", b"\x02", b"\x01\x00", b"\x03\xfe\x00", b"\x03\xfe\x00\x02", b"\xfe\xfe"):
        assert port.receive(datagram) is Admission.ADMITTED
        assert port.control.take_credit(datagram, "a")
    long = bytes.fromhex("01000e04040101686e6f6465aabb")
    assert port.receive(long) is Admission.ADMITTED
    assert len(port.control) == 2  # it is a CONNECT
