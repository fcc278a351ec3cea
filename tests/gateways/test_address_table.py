# SPDX-License-Identifier: BSD-3-Clause
"""The addresses of nodes."""

from pyaiot.gateways.coap.address_table import (
    CLAIM_INTERVAL_S,
    CLAIM_REFUSED_S,
    HELD_ADDRESSES_MAX,
    HELD_LIMIT_S,
    HELD_PER_HOST_MAX,
    HELD_RESOURCES_MAX,
    REFUSED_CLAIMANTS_MAX,
    AddressTable,
    Claim,
    HeldReading,
)
from pyaiot.transport.peers import PeerAddress

HERE = PeerAddress("10.0.0.1", 49152)
THERE = PeerAddress("10.0.0.2", 49152)


def table() -> AddressTable[str]:
    return AddressTable()


def claim(it: AddressTable[str], uid: str, address: PeerAddress, now: float = 0.0) -> Claim:
    return it.claim(uid, address, f"peer at {address.host}:{address.port}", now=now)


def test_readings_belong_to_the_uid_that_was_alive_at_the_address() -> None:
    it = table()
    assert claim(it, "A", HERE) is Claim.ACCEPTED
    assert it.uid_at(HERE) == "A"
    assert it.uid_at(THERE) is None


def test_readings_from_another_port_belong_to_the_only_node_of_the_machine() -> None:
    it = table()
    claim(it, "A", HERE)
    assert it.uid_at(PeerAddress(HERE.host, 1)) == "A"


def test_readings_from_another_port_than_that_of_the_node_have_no_uid() -> None:
    # A gateway that was started again, behind a router with many nodes: one has spoken so far.
    it = table()
    claim(it, "A", HERE)
    assert it.uid_at(HERE) == "A"
    assert it.uid_at(PeerAddress(HERE.host, 1)) is None
    # It rebooted, and has another port: what it posts from may be yet another one.
    claim(it, "A", PeerAddress(HERE.host, 2))
    assert it.uid_at(PeerAddress(HERE.host, 3)) == "A"


def test_node_that_sends_its_uid_twice_from_a_port_posts_from_that_port() -> None:
    it = table()
    claim(it, "A", HERE)
    claim(it, "A", PeerAddress(HERE.host, 1))
    assert it.uid_at(PeerAddress(HERE.host, 2)) == "A"  # each post comes from another port
    claim(it, "A", PeerAddress(HERE.host, 1))
    assert it.uid_at(PeerAddress(HERE.host, 2)) is None


def test_readings_from_another_port_than_that_of_a_registration_have_no_uid() -> None:
    it = table()
    claim(it, "A", HERE)
    it.sends_from_here("A")
    assert it.uid_at(PeerAddress(HERE.host, 1)) is None
    assert it.uid_at(HERE) == "A"


def test_looking_up_the_node_of_an_address_changes_nothing() -> None:
    it = table()
    claim(it, "A", HERE)
    assert it.known_at(HERE) == it.known_at(PeerAddress(HERE.host, 1)) == "A"
    assert it.uid_at(PeerAddress(HERE.host, 1)) == "A"
    claim(it, "B", PeerAddress(HERE.host, 2))
    assert it.known_at(PeerAddress(HERE.host, 1)) is None


def test_readings_have_no_uid_while_another_unknown_port_of_the_host_is_held() -> None:
    # A gateway that was started again beside many nodes of one machine: most have not sent alive.
    it = table()
    strange, other = PeerAddress(HERE.host, 1), PeerAddress(HERE.host, 2)
    it.hold(strange, HeldReading("t", "1", 0.0), now=0.0)
    claim(it, "A", HERE)
    assert it.uid_at(other) is None
    # Held readings of this port do not identify its neighbours.
    assert it.uid_at(strange) == "A"
    assert it.release(strange, now=1.0)
    assert it.uid_at(other) == "A"


def test_node_whose_reading_came_before_its_name_posts_from_that_port() -> None:
    it = table()
    it.hold(HERE, HeldReading("t", "1", 0.0), now=0.0)
    claim(it, "A", HERE)
    assert it.release(HERE, now=1.0)
    assert it.uid_at(PeerAddress(HERE.host, 1)) is None


def test_addresses_that_are_forgotten_are_no_neighbours() -> None:
    it = table()
    it.hold(PeerAddress(HERE.host, 1), HeldReading("t", "1", 0.0), now=0.0)
    it.hold(PeerAddress("elsewhere", 1), HeldReading("t", "1", 0.0), now=HELD_LIMIT_S)
    claim(it, "A", HERE)
    assert it.uid_at(PeerAddress(HERE.host, 2)) == "A"


def test_readings_from_another_port_of_a_host_with_two_nodes_have_no_uid() -> None:
    it = table()
    claim(it, "A", HERE)
    claim(it, "B", PeerAddress(HERE.host, 2))
    assert it.uid_at(PeerAddress(HERE.host, 1)) is None
    assert it.uid_at(HERE) == "A"
    assert it.uid_at(PeerAddress(HERE.host, 2)) == "B"


def test_of_two_uids_at_one_address_the_last_that_was_alive_gets_the_readings() -> None:
    it = table()
    claim(it, "A", HERE)
    claim(it, "B", HERE)
    assert it.uid_at(HERE) == "B"
    claim(it, "A", HERE)
    assert it.uid_at(HERE) == "A"
    it.forget("A")
    assert it.uid_at(HERE) == "B"


def test_reboot_that_changes_the_port_moves_the_node() -> None:
    it = table()
    claim(it, "A", HERE)
    after = PeerAddress(HERE.host, 50000)
    assert claim(it, "A", after) is Claim.ACCEPTED
    assert it.uid_at(after) == "A"
    node = it.get("A")
    assert node is not None
    assert node.address == after
    assert node.answers_at is None


def test_same_link_local_address_on_two_interfaces_is_two_machines() -> None:
    it = table()
    claim(it, "A", PeerAddress("fe80::1", 5683, 2))
    claim(it, "B", PeerAddress("fe80::1", 5683, 3))
    assert it.uid_at(PeerAddress("fe80::1", 5683, 2)) == "A"
    assert it.uid_at(PeerAddress("fe80::1", 5683, 3)) == "B"


def test_claim_from_another_machine_is_checked_once_at_a_time() -> None:
    it = table()
    claim(it, "A", HERE)
    assert claim(it, "A", THERE) is Claim.CHECK
    assert claim(it, "A", THERE) is Claim.CHECKING
    assert it.uid_at(THERE) is None
    assert it.uid_at(HERE) == "A"


def test_wrong_claim_is_refused_for_a_minute_and_then_checked_again() -> None:
    it = table()
    claim(it, "A", HERE)
    claim(it, "A", THERE)
    it.keep("A", THERE, now=0.0)
    assert claim(it, "A", THERE, now=CLAIM_REFUSED_S - 1) is Claim.REFUSED
    assert claim(it, "A", HERE, now=1.0) is Claim.ACCEPTED
    assert claim(it, "A", THERE, now=CLAIM_REFUSED_S) is Claim.CHECK


def test_unproved_claim_is_checked_again_a_little_later() -> None:
    it = table()
    claim(it, "A", HERE)
    claim(it, "A", THERE)
    it.postpone("A", now=0.0)
    assert claim(it, "A", THERE, now=CLAIM_INTERVAL_S - 0.1) is Claim.CHECKING
    assert claim(it, "A", THERE, now=CLAIM_INTERVAL_S) is Claim.CHECK


def test_posts_before_and_after_a_reboot_are_distinguished() -> None:
    it = table()
    claim(it, "A", HERE)
    claim(it, "B", THERE)
    nodes = it.entry_at(HERE), it.entry_at(THERE)
    assert nodes[0] is not None
    assert nodes[1] is not None
    before = nodes[0].boots
    it.booted("A")
    it.booted("B")
    assert len({before, nodes[0].boots, nodes[1].boots}) == 3


def test_true_claim_moves_the_node() -> None:
    it = table()
    claim(it, "A", HERE)
    claim(it, "A", THERE)
    it.move("A", THERE, "peer")
    assert it.uid_at(THERE) == "A"
    assert it.uid_at(HERE) is None
    assert claim(it, "A", THERE) is Claim.ACCEPTED


def test_wrong_claimants_remembered_are_bounded() -> None:
    it = table()
    claim(it, "A", HERE)
    for index in range(3 * REFUSED_CLAIMANTS_MAX):
        it.keep("A", PeerAddress("10.1.0.1", index), now=0.0)
    node = it.get("A")
    assert node is not None
    assert len(node.refused_until) == REFUSED_CLAIMANTS_MAX


def test_readings_before_the_uid_are_held_and_given_out_once() -> None:
    it = table()
    it.hold(HERE, HeldReading("t", "1", 5.0), now=0.0)
    it.hold(HERE, HeldReading("t", "2", 6.0), now=1.0)
    it.hold(HERE, HeldReading("h", "3", 7.0), now=2.0)
    assert it.release(HERE, now=30.0) == [HeldReading("t", "2", 6.0), HeldReading("h", "3", 7.0)]
    assert it.release(HERE, now=30.0) == []


def test_readings_are_held_for_a_minute() -> None:
    it = table()
    it.hold(HERE, HeldReading("t", "1", 5.0), now=0.0)
    assert it.release(HERE, now=HELD_LIMIT_S) == []


def test_addresses_and_resources_that_are_held_are_bounded() -> None:
    it = table()
    for index in range(HELD_ADDRESSES_MAX + 10):
        it.hold(PeerAddress("10.0.0.9", index), HeldReading("t", "1", 0.0), now=1.0)
    assert it.release(PeerAddress("10.0.0.9", 9), now=1.0) == []
    assert it.release(PeerAddress("10.0.0.9", HELD_ADDRESSES_MAX + 9), now=1.0)
    for index in range(HELD_RESOURCES_MAX + 10):
        it.hold(HERE, HeldReading(f"r{index}", "1", 0.0), now=1.0)
    assert len(it.release(HERE, now=1.0)) == HELD_RESOURCES_MAX


def test_node_that_is_forgotten_may_appear_anywhere() -> None:
    it = table()
    claim(it, "A", HERE)
    it.forget("A")
    assert it.uid_at(HERE) is None
    assert claim(it, "A", THERE) is Claim.ACCEPTED


def test_port_where_a_node_answers_or_posts_from_is_of_another_for_the_others() -> None:
    it = table()
    claim(it, "A", HERE)
    claim(it, "B", PeerAddress(HERE.host, 1))
    coap = PeerAddress(HERE.host, 5683)
    assert not it.is_of_another(coap, "B")
    it.answers("A", "peer", coap)
    assert it.is_of_another(coap, "B")
    assert it.is_of_another(HERE, "B")
    assert not it.is_of_another(coap, "A")
    assert not it.is_of_another(HERE, "A")
    assert it.answering_at(coap) == "A"
    it.does_not_answer("A")
    assert not it.is_of_another(coap, "B")


def test_port_of_a_node_that_moved_or_left_is_free() -> None:
    it = table()
    coap = PeerAddress(HERE.host, 5683)
    for moves in (True, False):
        claim(it, "A", HERE)
        it.answers("A", "peer", coap)
        if moves:
            it.move("A", THERE, "peer")
        else:
            it.forget("A")
        assert it.answering_at(coap) is None
        assert not it.is_of_another(coap, "B")
        assert not it.is_of_another(HERE, "B")


def test_machine_is_shared_if_another_node_is_there() -> None:
    it = table()
    claim(it, "A", HERE)
    assert not it.is_shared(HERE, "A")
    assert it.is_shared(HERE, "B")
    claim(it, "B", PeerAddress(HERE.host, 1))
    assert it.is_shared(HERE, "A")
    assert not it.is_shared(THERE, "A")


def test_host_whose_readings_are_held_uses_only_its_share() -> None:
    it = table()
    modest = PeerAddress("10.0.0.8", 1)
    it.hold(modest, HeldReading("t", "1", 0.0), now=0.0)
    for port in range(HELD_ADDRESSES_MAX + 10):
        it.hold(PeerAddress("10.0.0.9", port), HeldReading("t", "1", 0.0), now=0.0)
    assert it.release(modest, now=1.0)
    newest = HELD_ADDRESSES_MAX + 9
    assert it.release(PeerAddress("10.0.0.9", newest), now=1.0)
    assert it.release(PeerAddress("10.0.0.9", newest - HELD_PER_HOST_MAX + 1), now=1.0)
    assert not it.release(PeerAddress("10.0.0.9", newest - HELD_PER_HOST_MAX), now=1.0)


def test_secured_node_is_known_at_its_address_and_owns_nothing_unsecured_there() -> None:
    table: AddressTable[str] = AddressTable()
    plain = PeerAddress("10.0.0.1", 1000)
    secured = plain._replace(uid="lamp")
    table.claim("lamp", secured, "peer", now=0.0)
    assert table.known_at(plain) == "lamp"
    assert table.uid_at(plain) is None
    assert not table.has_node_on(plain)
    table.move("lamp", secured._replace(host="10.0.0.2"), "moved")
    assert table.known_at(plain) is None
    table.forget("lamp")
    assert table.known_at(PeerAddress("10.0.0.2", 1000)) is None
