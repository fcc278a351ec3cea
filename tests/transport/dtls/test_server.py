# SPDX-License-Identifier: BSD-3-Clause
"""Sessions of the DTLS server, over a wire that loses, doubles, reorders and forges datagrams."""

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyaiot.protocols.dtls.records import DtlsRecord, read_records
from pyaiot.transport.dtls.connection import HANDSHAKE_LIMIT_S, DtlsConnection
from pyaiot.transport.dtls.events import (
    HandshakeFailed,
    Plaintext,
    SessionClosed,
    SessionOpened,
    SessionReady,
)
from pyaiot.transport.dtls.psk_context import CIPHER_SUITES, PskContext
from pyaiot.transport.dtls.server import (
    DATAGRAM_BYTES_MAX,
    HANDSHAKES_PER_HOST_MAX,
    SESSION_IDLE_S,
    SESSIONS_PER_UID_MAX,
)
from pyaiot.transport.host_limits import HostLimits
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from tests.protocols.dtls import hellos
from tests.transport.dtls.wire import KEY, KEYS, Client, Wire


def closed(wire: Wire) -> list[SessionClosed]:
    return [event for event in wire.events if isinstance(event, SessionClosed)]


def failed(wire: Wire) -> list[HandshakeFailed]:
    return [event for event in wire.events if isinstance(event, HandshakeFailed)]


def start(wire: Wire, client: Client) -> list[bytes]:
    """Begin a handshake: the first two hellos. Returns the flight that the server sends then."""
    (first,) = client.connection.datagrams_to_send()
    (verify,) = wire.arrives(first, client.peer)
    client.connection.receive_datagram(verify)
    (second,) = client.connection.datagrams_to_send()
    return wire.arrives(second, client.peer)


# -- handshakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", KEYS)
def test_device_with_its_key_gets_a_session(uid: str) -> None:
    wire = Wire()
    client = wire.session(uid)
    assert wire.opened() == [client.peer.secured(uid, "dtls-psk")]
    assert (len(wire.server), wire.server.handshakes) == (1, 0)


@pytest.mark.parametrize("suite", CIPHER_SUITES)
def test_each_cipher_suite_is_served(suite: str) -> None:
    context = PskContext.for_client("lamp", KEY)
    context.context.set_cipher_list(f"{suite}:@SECLEVEL=0".encode())
    wire, client = Wire(), Client()
    client.connection = DtlsConnection.connect(context, now=0.0)
    wire.run(client)
    assert client.connection.is_established
    assert client.connection.cipher_suite == suite
    wire.arrives(client.connection.encrypt(b"hello"), client.peer)
    assert wire.plaintexts == [("lamp", b"hello")]


def test_client_without_a_common_cipher_suite_gets_an_alert() -> None:
    context = PskContext.for_client("lamp", KEY)
    context.context.set_cipher_list(b"PSK-AES128-CBC-SHA256:@SECLEVEL=0")
    wire, client = Wire(), Client()
    client.connection = DtlsConnection.connect(context, now=0.0)
    wire.run(client)
    assert "handshake failure" in str(client.connection.failure)
    assert [event.reason for event in failed(wire)] == ["no shared cipher"]


@pytest.mark.parametrize("client", hellos.ALL)
def test_hello_without_a_cookie_leaves_no_state_and_gets_no_more_than_it_sent(client: str) -> None:
    wire = Wire()
    (answer,) = wire.arrives(hellos.ALL[client], Client().peer)
    assert len(answer) <= len(hellos.ALL[client])
    assert wire.server.handshakes == 0
    assert wire.server.get_timer() is None


def test_hello_with_the_cookie_of_another_address_leaves_no_state() -> None:
    wire, client = Wire(), Client()
    (first,) = client.connection.datagrams_to_send()
    (verify,) = wire.arrives(first, client.peer)
    client.connection.receive_datagram(verify)
    (second,) = client.connection.datagrams_to_send()
    (answer,) = wire.arrives(second, Client(port=49153).peer)
    assert len(answer) <= len(second)
    assert wire.server.handshakes == 0
    assert wire.arrives(second, client.peer)
    assert wire.server.handshakes == 1


def test_wrong_key_and_unknown_identity_look_the_same_to_the_client() -> None:
    seen = []
    for uid, key in (("lamp", b"wrong"), ("nobody", KEY)):
        wire, client = Wire(), Client(uid, key)
        answers = []
        for _ in range(4):
            for datagram in client.connection.datagrams_to_send():
                answers.append([len(answer) for answer in wire.arrives(datagram, client.peer)])
                for answer in wire.take():
                    client.connection.receive_datagram(answer)
        wire, client = Wire(), Client(uid, key)
        wire.run_until(client, HANDSHAKE_LIMIT_S + 1)
        seen.append((wire.sent, wire.now, client.connection.failure))
        assert not wire.opened()
        (failure,) = failed(wire)
        assert (failure.identity, failure.is_known) == (uid, uid == "lamp")
    assert seen[0] == seen[1]


@pytest.mark.parametrize("identity", [b"\xff\xfe", b"", b"x" * 256])
def test_identity_that_is_no_uid_gets_no_session(identity: bytes) -> None:
    context = PskContext.for_client("", KEY)
    lib, ffi = context._lib, context._ffi

    @ffi.callback(
        "unsigned int(SSL *, const char *, char *, unsigned int, unsigned char *, unsigned int)"
    )
    def find(_ssl, _hint, name, _size, key, _key_size):  # type: ignore[no-untyped-def]
        name[0 : len(identity) + 1] = identity + b"\0"
        key[0 : len(KEY)] = KEY
        return len(KEY)

    lib.SSL_CTX_set_psk_client_callback(context.context._context, find)
    wire, client = Wire(), Client()
    client.connection = DtlsConnection.connect(context, now=0.0)
    wire.run_until(client, HANDSHAKE_LIMIT_S + 1)
    assert not wire.opened()
    assert len(failed(wire)) <= 1


def test_nothing_is_sent_before_the_first_message_of_the_device() -> None:
    wire, client = Wire(), Client()
    wire.run(client)
    (peer,) = wire.opened()
    assert wire.server.encrypt(b"early", peer) == b""
    assert not [event for event in wire.events if isinstance(event, SessionReady)]
    wire.arrives(client.connection.encrypt(b"a") + client.connection.encrypt(b"b"), client.peer)
    assert wire.events[1:] == [SessionReady(peer), Plaintext(b"a", peer), Plaintext(b"b", peer)]
    assert wire.server.encrypt(b"late", peer)


# -- a bad wire ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(5))
def test_handshake_survives_the_loss_of_a_datagram(number: int) -> None:
    wire, client = Wire(), Client()
    wire.is_lost = number.__eq__
    wire.run_until(client, HANDSHAKE_LIMIT_S)
    assert client.connection.is_established
    assert len(wire.opened()) == 1
    assert wire.now <= 1.0


def test_client_that_lost_the_last_flight_gets_a_session_with_a_new_handshake() -> None:
    wire, client = Wire(), Client()
    wire.is_lost = (5).__eq__
    wire.run(client)
    assert len(wire.opened()) == 1  # it was complete for the server
    again = wire.session()
    wire.arrives(again.connection.encrypt(b"hello"), again.peer)
    assert wire.plaintexts == [("lamp", b"hello")]
    assert len(wire.server) == 1


@settings(max_examples=30)
@given(st.sets(st.integers(0, 24), max_size=12))
def test_handshake_survives_any_losses(lost: set[int]) -> None:
    wire, client = Wire(), Client()
    wire.is_lost = lost.__contains__
    for _ in range(10):
        wire.run_until(client, wire.now + HANDSHAKE_LIMIT_S + 1)
        if client.connection.is_established:
            break
        client = Client(now=wire.now)
    assert client.connection.is_established
    wire.is_lost = lambda _number: False
    wire.arrives(client.connection.encrypt(b"hello"), client.peer)
    assert wire.plaintexts == [("lamp", b"hello")]


def test_each_datagram_of_a_handshake_may_arrive_twice() -> None:
    wire, client = Wire(), Client()
    for _ in range(6):
        for datagram in client.connection.datagrams_to_send():
            answers = wire.arrives(datagram, client.peer) + wire.arrives(datagram, client.peer)
            for answer in answers:
                client.connection.receive_datagram(answer)
                client.connection.receive_datagram(answer)
    assert client.connection.is_established
    assert len(wire.opened()) == 1
    assert (len(wire.server), wire.server.handshakes) == (1, 0)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_last_flight_of_the_client_may_arrive_in_any_order(order: tuple[int, ...]) -> None:
    """libcoap with GnuTLS sends it in three datagrams, and does not repeat it."""
    wire, client = Wire(), Client()
    for datagram in start(wire, client):
        client.connection.receive_datagram(datagram)
    (flight,) = client.connection.datagrams_to_send()
    records = [record.to_bytes() for record in read_records(flight)]
    for number in order:
        for datagram in wire.arrives(records[number], client.peer):
            client.connection.receive_datagram(datagram)
    assert client.connection.is_established
    assert len(wire.opened()) == 1


def test_retransmitted_flight_has_new_sequence_numbers() -> None:
    wire, client = Wire(), Client()
    flight = start(wire, client)
    wire.now = 1.0
    wire.server.handle_timer(now=wire.now)
    again = wire.take()
    numbers = [
        [record.sequence_number for datagram in datagrams for record in read_records(datagram)]
        for datagrams in (flight, again)
    ]
    assert numbers[0][0] == 1  # that of the ClientHello with the cookie
    assert sorted(numbers[0] + numbers[1]) == list(range(1, 1 + 2 * len(numbers[0])))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 19), max_size=60))
def test_each_plaintext_is_delivered_at_most_once(arrivals: list[int]) -> None:
    wire = Wire()
    client = wire.session()
    datagrams = [client.connection.encrypt(b"%d" % number) for number in range(20)]
    for number in arrivals:
        wire.arrives(datagrams[number], client.peer)
    assert wire.plaintexts == [("lamp", b"%d" % number) for number in dict.fromkeys(arrivals)]


def test_several_records_in_a_datagram_are_read() -> None:
    wire = Wire()
    client = wire.session()
    datagram = client.connection.encrypt(b"a") + client.connection.encrypt(b"b")
    wire.arrives(datagram + b"\x17\xfe\xfd", client.peer)
    assert wire.plaintexts == [("lamp", b"a"), ("lamp", b"b")]


# -- sessions and forged datagrams --------------------------------------------------------------


def is_served(wire: Wire, client: Client, text: bytes = b"still here") -> bool:
    """Whether the session works in both directions."""
    wire.arrives(client.connection.encrypt(text), client.peer)
    peer = wire.opened()[-1]
    answer = wire.server.encrypt(b"answer", peer)
    return (
        wire.plaintexts[-1:] == [(peer.address.uid, text)]
        and answer is not None
        and list(client.connection.receive_datagram(answer)) == [b"answer"]
    )


def junk() -> list[bytes]:
    """Datagrams that anybody can send from the address of a device."""
    random = Random(6347)
    made = [bytes(size) for size in (0, 1, 13, 14, 100)]
    for content_type, epoch in itertools.product(range(18, 28), (0, 1, 2, 0xFFFF)):
        for fragment in (b"", b"\x01", b"\x02\x28", b"\x01\x00", random.randbytes(40)):
            number = random.choice((0, 1, 5, 2**47))
            made.append(DtlsRecord(content_type, 0xFEFD, epoch, number, fragment).to_bytes())
    made.extend(hellos.ALL.values())
    made.extend(hellos.riot(random.randbytes(16), sequence=1) for _ in range(5))
    return made


def test_forged_datagrams_do_not_end_a_session() -> None:
    wire = Wire()
    client = wire.session()
    for datagram in junk():
        for answer in wire.arrives(datagram, client.peer):
            assert len(answer) <= len(datagram)
    assert not closed(wire)
    assert is_served(wire, client)


def test_forged_datagrams_do_not_end_a_handshake() -> None:
    wire, client = Wire(), Client()
    flight = start(wire, client)
    for datagram in junk():
        if datagram[:1] in (b"\x14", b"\x16"):
            continue  # parts of a handshake are not protected before it is complete
        wire.arrives(datagram, client.peer)
    for datagram in flight:
        client.connection.receive_datagram(datagram)
    wire.run(client)
    assert client.connection.is_established
    assert is_served(wire, client)


def test_new_handshake_replaces_a_session_only_when_it_is_complete() -> None:
    wire = Wire()
    client = wire.session()
    rebooted = Client(now=wire.now)
    for datagram in start(wire, rebooted):
        assert is_served(wire, client)
        rebooted.connection.receive_datagram(datagram)
    wire.run(rebooted)
    assert rebooted.connection.is_established
    assert is_served(wire, rebooted)
    assert not closed(wire)  # the same peer goes on
    wire.arrives(client.connection.encrypt(b"old"), client.peer)
    assert ("lamp", b"old") not in wire.plaintexts


def test_another_device_at_the_address_of_a_session_replaces_it() -> None:
    wire = Wire()
    wire.session("lamp")
    other = wire.session("robot")
    assert [(event.peer.address.uid, event.other) for event in closed(wire)] == [("lamp", None)]
    assert is_served(wire, other)


def test_unfinished_handshake_at_the_address_of_a_session_is_forgotten() -> None:
    wire = Wire()
    client = wire.session()
    start(wire, Client(now=wire.now))
    wire.now = HANDSHAKE_LIMIT_S
    wire.server.handle_timer(now=wire.now)
    wire.take()
    assert wire.server.handshakes == 0
    assert [event.identity for event in failed(wire)] == [None]
    assert is_served(wire, client)


def test_record_without_a_session_is_ignored_and_not_answered() -> None:
    """After a restart of the server."""
    client = Wire().session()
    restarted = Wire()
    assert restarted.arrives(client.connection.encrypt(b"lost"), client.peer) == []
    assert restarted.server.ignored == 1
    assert restarted.plaintexts == []
    restarted.session()


def test_datagram_that_is_too_large_is_ignored() -> None:
    wire = Wire()
    client = wire.session()
    wire.arrives(client.connection.encrypt(bytes(DATAGRAM_BYTES_MAX)), client.peer)
    assert wire.server.ignored == 1
    assert wire.plaintexts == []


# -- the end of a session -----------------------------------------------------------------------


def test_client_closes_its_session() -> None:
    wire = Wire()
    client = wire.session()
    client.connection.close()
    wire.run(client)
    assert [event.reason for event in closed(wire)] == ["closed by the peer"]
    assert len(wire.server) == 0
    assert wire.server.encrypt(b"late", wire.opened()[0]) is None


def test_server_closes_its_sessions() -> None:
    wire = Wire()
    client = wire.session()
    wire.server.close_all("stops")
    wire.run(client)
    assert client.connection.failure == "closed by the peer"
    assert [event.reason for event in closed(wire)] == ["stops"]


def test_silent_session_is_closed() -> None:
    wire = Wire()
    client = wire.session()
    wire.now = 10.0
    assert is_served(wire, client)
    assert wire.server.get_timer() == 10.0 + SESSION_IDLE_S
    wire.now = 10.0 + SESSION_IDLE_S
    wire.server.handle_timer(now=wire.now)
    wire.run(client)
    assert [event.reason for event in closed(wire)] == ["idle for too long"]
    assert client.connection.failure == "closed by the peer"
    assert wire.server.get_timer() is None


# -- limits -------------------------------------------------------------------------------------


def test_device_has_a_limited_number_of_sessions() -> None:
    wire = Wire()
    clients = [wire.session(port=50_000 + number) for number in range(SESSIONS_PER_UID_MAX)]
    wire.now = 1.0
    wire.arrives(clients[0].connection.encrypt(b"alive"), clients[0].peer)
    wire.session(port=51_000)
    (event,) = closed(wire)
    assert event.peer.remote == clients[1].remote
    assert event.other is not None
    assert event.other.remote == clients[0].remote
    assert len(wire.server) == SESSIONS_PER_UID_MAX


def test_session_that_was_silent_for_longest_makes_room() -> None:
    wire = Wire(sessions_max=2)
    first, second = wire.session("lamp"), wire.session("robot", port=50_000)
    wire.arrives(first.connection.encrypt(b"alive"), first.peer)
    wire.session("Küche 1", port=50_001)
    assert [event.peer.remote for event in closed(wire)] == [second.remote]
    assert len(wire.server) == 2


def test_handshakes_are_limited_in_all() -> None:
    wire = Wire(handshakes_max=3)
    for number in range(5):
        start(wire, Client(host=f"2001:db8::{number + 1}"))
    assert wire.server.handshakes == 3
    assert len(failed(wire)) == 2
    wire.session(host="2001:db8::ff")


def test_handshakes_of_a_host_are_limited() -> None:
    wire = Wire(handshakes_max=1000)
    other = Client(host="2001:db8::2")
    flight = start(wire, other)
    for number in range(HANDSHAKES_PER_HOST_MAX + 5):
        start(wire, Client(port=1000 + number))
    assert wire.server.handshakes == HANDSHAKES_PER_HOST_MAX + 1
    for datagram in flight:
        other.connection.receive_datagram(datagram)
    wire.run(other)
    assert other.connection.is_established


def test_handshakes_over_the_rate_of_their_host_are_refused() -> None:
    rate = HostRateLimit(Rate(1.0, 2.0), Rate(100.0, 100.0))
    wire = Wire(limits=HostLimits(rate))
    for number in range(5):
        start(wire, Client(port=1000 + number))
    assert (wire.server.handshakes, wire.server.refused) == (2, 3)
    wire.session(host="2001:db8::2")
    wire.now = 10.0
    wire.session(port=2000)


def test_flood_of_hellos_leaves_no_state() -> None:
    wire = Wire()
    client = wire.session()
    for number in range(2000):
        wire.arrives(hellos.riot(), client.peer.at_port(1024 + number))
    assert (len(wire.server), wire.server.handshakes) == (1, 0)
    assert is_served(wire, client)


def test_events_come_in_the_order_of_the_datagrams() -> None:
    wire = Wire()
    client = wire.session()
    data = client.connection.encrypt(b"last")
    client.connection.close()
    (notify,) = client.connection.datagrams_to_send()
    wire.arrives(data + notify, client.peer)
    assert isinstance(wire.events[0], SessionOpened)
    assert wire.plaintexts == [("lamp", b"last")]
    assert isinstance(wire.events[-1], SessionClosed)
