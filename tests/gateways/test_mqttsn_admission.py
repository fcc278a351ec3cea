# SPDX-License-Identifier: BSD-3-Clause
"""Which datagrams are read at the MQTT-SN port, and what unverified hosts get."""

from pyaiot.gateways.mqttsn import admission
from pyaiot.gateways.mqttsn.admission import AdmissionControl, AdmissionResult
from pyaiot.transport.peers import Peer

CONNECT = bytes.fromhex("0a04040101686e6f6465")
PUBLISH = bytes.fromhex("080c200001000131")
FORWARDED_CONNECT = bytes.fromhex("05fe01abcd") + CONNECT


def peer(host: int = 1, port: int = 1) -> Peer:
    return Peer((f"10.{host >> 16}.{host >> 8 & 255}.{host & 255}", port))


class Port:
    """Admission control whose clients are those that were admitted."""

    def __init__(self, packets_per_s: float = 10.0) -> None:
        self.clients: set[tuple[Peer, bytes | None]] = set()
        self.limits = admission.host_limits()
        self.control = AdmissionControl(
            self.limits,
            packets_per_s=packets_per_s,
            is_client=lambda *client: client in self.clients,
        )

    def receive(
        self, datagram: bytes, sender: Peer | None = None, *, now: float = 1.0
    ) -> AdmissionResult:
        sender = sender or peer()
        self.limits.amplification.received(sender.host, len(datagram))
        verdict = self.control.judge_datagram(datagram, sender, now=now)
        if verdict is AdmissionResult.ADMITTED and CONNECT in datagram:
            self.clients.add((sender, b"\xab\xcd" if datagram[1] == 0xFE else None))
        return verdict

    def may_send(self, size: int) -> bool:
        return self.limits.amplification.take(peer().host, size)


def test_a_client_is_admitted_up_to_its_rate() -> None:
    port = Port(packets_per_s=10.0)
    port.receive(CONNECT)
    verdicts = [port.receive(PUBLISH) for _ in range(30)]
    assert verdicts == [AdmissionResult.ADMITTED] * 19 + [AdmissionResult.CLIENT_TOO_FAST] * 11
    assert port.receive(PUBLISH, now=1.2) is AdmissionResult.ADMITTED


def test_one_client_does_not_use_up_the_rate_of_another() -> None:
    port = Port(packets_per_s=1.0)
    port.receive(CONNECT)
    port.receive(CONNECT, peer(2))
    port.receive(FORWARDED_CONNECT, peer(2))
    while port.receive(PUBLISH) is AdmissionResult.ADMITTED:
        pass
    assert port.receive(PUBLISH, peer(2)) is AdmissionResult.ADMITTED
    assert port.receive(bytes.fromhex("05fe01abcd") + PUBLISH, peer(2)) is AdmissionResult.ADMITTED


def test_connects_of_a_host_are_counted_over_its_ports() -> None:
    port = Port()
    burst = int(admission.CONNECTS_OF_HOST_BURST)
    verdicts = [port.receive(CONNECT, peer(port=number)) for number in range(burst + 5)]
    assert verdicts == [AdmissionResult.ADMITTED] * burst + [AdmissionResult.CONNECTS_TOO_FAST] * 5
    assert port.receive(CONNECT, peer(2)) is AdmissionResult.ADMITTED
    assert port.receive(CONNECT, peer(port=9999), now=1.1) is AdmissionResult.ADMITTED


def test_connects_of_all_hosts_have_a_rate_too() -> None:
    port = Port()
    client = sum(
        port.receive(CONNECT, peer(number)) is AdmissionResult.ADMITTED for number in range(10_000)
    )
    assert client == admission.CONNECTS_BURST


def test_unknown_peers_share_one_rate_and_have_no_entry() -> None:
    port = Port()
    client = sum(
        port.receive(PUBLISH, peer(number)) is AdmissionResult.ADMITTED for number in range(10_000)
    )
    assert client == admission.UNKNOWN_PEERS_BURST
    assert len(port.control) == 0


def test_clients_that_left_are_forgotten() -> None:
    port = Port()
    for number in range(5 * admission.STALE_CLIENTS_MAX):
        port.receive(CONNECT, peer(port=number), now=float(number))
        port.clients.clear()
    assert len(port.control._clients) <= admission.STALE_CLIENTS_MAX + 1


def test_a_host_that_sends_only_connects_gets_three_times_its_bytes() -> None:
    port = Port()
    port.receive(CONNECT)
    assert port.may_send(20)
    assert not port.may_send(11)
    assert port.may_send(10)
    assert not port.may_send(1)
    port.receive(CONNECT)
    assert port.may_send(30)
    assert not port.may_send(1)
    assert port.limits.held_back == 3


def test_a_client_that_sends_more_than_a_connect_verifies_its_host() -> None:
    port = Port()
    port.receive(PUBLISH)  # of no client
    assert not port.may_send(1000)
    port.receive(FORWARDED_CONNECT)
    port.receive(PUBLISH)
    assert not port.may_send(1000)
    port.receive(bytes.fromhex("05fe01abcd") + PUBLISH)
    assert port.may_send(1000)
    port.receive(CONNECT)
    assert port.may_send(1000)


def test_every_datagram_has_a_verdict() -> None:
    port = Port()
    for datagram in (b"", b"\x02", b"\x01\x00", b"\x03\xfe\x00", b"\x03\xfe\x00\x02", b"\xfe\xfe"):
        assert port.receive(datagram) is AdmissionResult.ADMITTED
    long = bytes.fromhex("01000e04040101686e6f6465aabb")
    assert port.receive(long) is AdmissionResult.ADMITTED
    assert len(port.control) == 1  # it is a CONNECT
