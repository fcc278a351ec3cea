# SPDX-License-Identifier: BSD-3-Clause
"""Rules of claims, streams and interest, one by one. The simulation has them all at once."""

from pyaiot.broker.commands import GATEWAY_GRACE_S
from pyaiot.cluster.claims import ClaimTable
from pyaiot.cluster.member import GRACE_S, GROUP_GRACE_S, PEER_TIMEOUT_S
from pyaiot.cluster.outgoing import FRAME_SIZE_MAX, pack
from pyaiot.cluster.packets import (
    ITEMS_PER_FRAME_MAX,
    FrameHeader,
    GatewayItem,
    NodeClaim,
    Order,
    Release,
    decode_items,
    frame,
)
from pyaiot.cluster.streams import REORDER_S, IncomingStream, OutgoingStream
from pyaiot.messages import Command, NodeDescribed, Reading
from pyaiot.model import ResourceType
from tests.cluster.simulation import TS, SimGateway, World


def claim(term: int, *, secured: bool = False) -> NodeClaim:
    return NodeClaim(uid="A", gateway=1, term=term, secured=secured)


def test_the_later_term_wins_and_a_credential_wins_over_it() -> None:
    table = ClaimTable()
    table.set("aa", claim(1))
    table.set("bb", claim(1))
    owner = table.owner("A")
    assert owner is not None
    assert owner.run == "bb"
    table.set("aa", claim(table.next_term("A", besides="aa")))
    assert table.owner("A") == ("aa", claim(2))
    table.set("bb", claim(1, secured=True))
    assert table.owner("A") == ("bb", claim(1, secured=True))
    table.remove("bb", "A")
    table.forget("aa")
    assert table.owner("A") is None


def test_frames_are_applied_once_and_in_order() -> None:
    stream = IncomingStream(0.0)
    stream.requested(5, 0.0)
    assert stream.receive(4, 0, b"old", 0.1) == []
    assert stream.receive(5, 1, b"b", 0.1) == []
    assert stream.receive(5, 0, b"a", 0.2) == [(0, b"a"), (1, b"b")]
    assert stream.receive(5, 1, b"b", 0.3) == []
    assert not stream.request_due(10.0)


def test_a_frame_that_stays_missing_ends_the_generation() -> None:
    stream = IncomingStream(0.0)
    stream.requested(1, 0.0)
    stream.receive(1, 0, b"a", 0.0)
    stream.receive_position((1, 2), 5.0)
    assert not stream.request_due(5.0)
    assert stream.request_due(5.1 + REORDER_S)
    stream.requested(2, 6.0)
    assert stream.receive(1, 1, b"late", 6.0) == []


def test_a_request_that_arrives_twice_begins_one_generation() -> None:
    stream = OutgoingStream()
    assert stream.receive_request(3)
    assert (stream.take_number(), stream.take_number()) == (0, 1)
    assert not stream.receive_request(3)
    assert not stream.receive_request(2)
    stream.end()
    assert stream.receive_request(4)
    assert stream.take_number() == 0


def test_frames_have_a_limit_of_items_and_of_bytes() -> None:
    items = [Release(uid=f"n{number}") for number in range(2 * ITEMS_PER_FRAME_MAX + 1)]
    bodies = pack(items)
    assert [it for body in bodies for it in decode_items(body)] == items
    assert max(len(decode_items(body)) for body in bodies) <= ITEMS_PER_FRAME_MAX
    large = [Reading(uid="A", resource=f"r{n}", data="x" * 60_000) for n in range(30)]
    assert max(map(len, pack(large))) <= FRAME_SIZE_MAX
    assert pack([]) == []


def test_values_go_only_where_they_are_watched() -> None:
    world = World(1, brokers=2, gateways=1)
    owner, other = world.brokers["broker 0"], world.brokers["broker 1"]
    other.member.local.set_interest(["A"])
    world.run(3.0)
    for uid in ("A", "B"):
        world.gateways[0].appear(uid)
        world.gateways[0].read(uid, "t", 1)
    world.run(1.0)
    assert other.view == {"A": {"t": 1}, "B": {}}
    number = other.member.local.set_interest(None)
    assert not other.member.has_values(number)
    world.run(1.0)
    assert other.member.has_values(number)
    assert other.view == {"A": {"t": 1}, "B": {"t": 1}} == owner.view


def test_a_gateway_that_changes_its_broker_takes_its_nodes_along_silently() -> None:
    world = World(1, brokers=3, gateways=1)
    world.run(3.0)
    world.gateways[0].appear("A")
    world.gateways[0].read("A", "t", 1)
    world.run(1.0)
    world.kill("broker 0")
    world.run(15.0)
    for name in ("broker 1", "broker 2"):
        broker = world.brokers[name]
        assert broker.view == {"A": {"t": 1}}
        assert broker.published == {"new A": 1}


def world_of_a_lost_broker() -> World:
    """Two gateways at a broker that was killed: only the one of node B shares its nodes."""
    world = World(1, brokers=2, gateways=0)
    for name, group in (("alone", ""), ("shares", "a group")):
        gateway = SimGateway(world, name, ["broker 0"], has_token=False)
        gateway.group = group
        gateway.connect()
        gateway.appear("B" if group else "A")
        world.gateways.append(gateway)
    world.run(3.0)
    assert world.brokers["broker 1"].view == {"A": {}, "B": {}}
    return world


def test_only_nodes_that_gateways_share_have_the_longer_grace_period() -> None:
    world = world_of_a_lost_broker()
    other = world.brokers["broker 1"]
    world.kill("broker 0")
    world.run(PEER_TIMEOUT_S + GRACE_S + 0.5)
    assert other.view == {"B": {}}
    world.run(GROUP_GRACE_S - GRACE_S - 2.0)
    assert other.view == {"B": {}}
    assert len(other.member.peers) == 1
    world.run(2.0)
    assert other.view == {}
    assert not other.member.peers


def test_a_broker_that_returns_within_the_longer_grace_period_brings_all_nodes() -> None:
    world = world_of_a_lost_broker()
    other = world.brokers["broker 1"]
    world.partition({"broker 0"})
    world.run(PEER_TIMEOUT_S + GRACE_S + 0.5)
    assert other.view == {"B": {}}
    world.gateways[0].read("A", "t", 1)
    world.gateways[1].read("B", "t", 2)
    world.network.cut.clear()
    world.run(3.0)
    assert other.view == {"A": {"t": 1}, "B": {"t": 2}}
    assert other.published == {"new A": 2, "out A": 1, "new B": 1}


def world_of_a_node_that_moves() -> World:
    """Two gateways that share node A, which has moved from broker 0 to broker 1. Broker 2 knows
    that broker 0 has released it, and gets nothing from broker 1."""
    world = World(1, brokers=3, gateways=0)
    for number in range(2):
        gateway = SimGateway(world, "shares", [f"broker {number}"], has_token=False)
        gateway.instance, gateway.group = f"machine {number}", "a group"
        gateway.connect()
        world.gateways.append(gateway)
    world.run(3.0)
    world.gateways[0].appear("A")
    world.gateways[0].read("A", "t", 1)
    world.brokers["broker 2"].member.local.set_interest(None)
    world.run(1.0)
    world.network.cut.add(("broker 1", "broker 2"))
    world.gateways[1].appear("A")
    world.gateways[1].read("A", "t", 2)
    world.run(0.5)
    return world


def test_a_node_that_moves_stays_at_a_broker_that_gets_the_release_before_the_claim() -> None:
    world = world_of_a_node_that_moves()
    other = world.brokers["broker 2"]
    assert other.member.directory.owner("A") is None
    assert other.view == {"A": {"t": 1}}
    world.heal()
    world.run(2.0)
    owner = other.member.directory.owner("A")
    assert owner is not None
    assert owner.run == world.brokers["broker 1"].run
    assert other.view == {"A": {"t": 2}}
    world.run(2 * GRACE_S)
    assert other.published == {"new A": 1}


def test_a_node_that_moves_to_nobody_goes_offline_after_the_grace_period() -> None:
    world = world_of_a_node_that_moves()
    other = world.brokers["broker 2"]
    world.run(GRACE_S - 1.0)
    assert other.view == {"A": {"t": 1}}
    world.run(1.0)
    assert other.view == {}
    assert other.published == {"new A": 1, "out A": 1}
    world.heal()
    world.run(2.0)
    assert other.view == {"A": {"t": 2}}


def end_earlier_gateway(world: World) -> None:
    """The gateway that has released node A ends, and does not return."""
    gateway = world.gateways[0]
    broker, gateway.broker = gateway.broker, None
    assert broker is not None
    del broker.links[gateway.number]
    ts = TS + world.now
    broker.deliver(broker.router.gateway_lost(gateway.number, now=world.now, ts=ts))
    broker.member.local.gateways_changed()
    world.run(2.0)


def test_a_node_that_moves_stays_when_the_gateway_that_released_it_ends() -> None:
    world = world_of_a_node_that_moves()
    other = world.brokers["broker 2"]
    world.gateways[0].appear("B")
    world.run(0.5)
    end_earlier_gateway(world)
    assert other.view == {"A": {"t": 1}}
    assert other.published == {"new A": 1, "new B": 1, "out B": 1}
    world.heal()
    world.run(2.0)
    assert other.view == {"A": {"t": 2}}
    assert {it.hello.instance for it in other.router.gateways.values() if it.hello} == {"machine 1"}
    assert other.published == {"new A": 1, "new B": 1, "out B": 1}


def test_a_node_that_moves_to_nobody_goes_offline_after_its_gateway_has_ended() -> None:
    world = world_of_a_node_that_moves()
    other = world.brokers["broker 2"]
    end_earlier_gateway(world)
    assert other.view == {"A": {"t": 1}}
    world.run(GRACE_S - 2.0)
    assert other.view == {}
    assert other.published == {"new A": 1, "out A": 1}
    assert {it.hello.instance for it in other.router.gateways.values() if it.hello} == {"machine 1"}


def test_a_snapshot_without_a_node_that_moves_leaves_it_for_the_grace_period() -> None:
    world = world_of_a_node_that_moves()
    other = world.brokers["broker 2"]
    # The stream of the earlier owner begins again while the node is on its way.
    world.brokers["broker 0"].member.peers[other.run].end_outgoing()
    world.run(2.5)
    assert other.member.resyncs
    assert other.view == {"A": {"t": 1}}
    world.heal()
    world.run(1.0)
    assert other.view == {"A": {"t": 2}}
    assert other.published == {"new A": 1}


def test_a_command_for_a_node_of_a_lost_broker_is_unreachable() -> None:
    world = World(1, brokers=2, gateways=1)
    world.run(3.0)
    world.gateways[0].appear("A")
    world.run(1.0)
    world.gateways[0].brokers = ["broker 0"]
    world.kill("broker 0")
    world.issue("broker 1", "A")
    world.run(4.0)
    ((_, receipt),) = world.brokers["broker 1"].receipts
    assert receipt.state == "unreachable"
    world.issue("broker 1", "A")
    assert world.brokers["broker 1"].receipts[-1][1].state == "unreachable"
    world.run(6.0)
    assert world.brokers["broker 1"].view == {}


def command_with_a_lost_receipt() -> World:
    """Broker 1 commands a node of broker 0; the frame with the receipt is lost between them."""
    world = World(1, brokers=2, gateways=1)
    world.run(3.0)
    world.gateways[0].appear("A")
    world.run(1.0)
    command = Command(id="c", uid="A", resource="led", payload="1", timeout_s=9.0)
    world.brokers["broker 1"].command("client", command)
    world.network.cut.add(("broker 0", "broker 1"))
    world.run(0.2)
    world.network.cut.clear()
    owner = world.brokers["broker 0"]
    assert [receipt.state for _, receipt in owner.member.peers[run_of(world)].receipts] == [
        "confirmed"
    ]
    assert world.brokers["broker 1"].receipts == []
    return world


def run_of(world: World) -> str:
    return world.brokers["broker 1"].run


def test_a_receipt_that_is_lost_between_brokers_is_sent_again() -> None:
    world = command_with_a_lost_receipt()
    world.run(3.0)
    ((client, receipt),) = world.brokers["broker 1"].receipts
    assert (client, receipt.id, receipt.state) == ("client", "c", "confirmed")
    assert world.gateways[0].executed == {"1": 1}


def test_a_receipt_that_arrives_again_reaches_its_client_once() -> None:
    world = command_with_a_lost_receipt()
    world.run(3.0)
    other = world.brokers["broker 1"]
    before = other.member.resyncs
    (peer,) = other.member.peers.values()
    peer.incoming.is_broken = True  # another snapshot, which has the receipt too
    world.run(2.0)
    assert other.member.resyncs == before + 1
    assert [receipt.state for _, receipt in other.receipts] == ["confirmed"]


def test_a_receipt_that_stays_lost_ends_as_a_timeout() -> None:
    world = command_with_a_lost_receipt()
    world.brokers["broker 0"].member.peers[run_of(world)].receipts.clear()
    world.run(15.0)
    assert [receipt.state for _, receipt in world.brokers["broker 1"].receipts] == ["timeout"]
    assert world.gateways[0].executed == {"1": 1}


def test_an_order_has_the_earlier_of_its_two_deadlines() -> None:
    world = World(1, brokers=2, gateways=1)
    world.run(3.0)
    world.gateways[0].appear("A")
    world.run(1.0)
    owner = world.brokers["broker 0"]
    (peer,) = owner.member.peers.values()

    def ends(timeout_s: float, not_after: float | None) -> float:
        """Whether the command ends at once (0.0), or before which of these times."""
        command = Order(
            id="c", uid="A", resource="led", payload="1", timeout_s=timeout_s, not_after=not_after
        )
        owner.deliver(owner.member._in.receive(peer, [command], world.now, TS))
        for after_s in (0.0, 1.1 + GATEWAY_GRACE_S, 2.1 + GATEWAY_GRACE_S):
            owner.deliver(owner.router.expire(world.now + after_s))
            if not len(owner.router.commands):
                return after_s
        raise AssertionError("it does not end")

    assert ends(2.0, None) == 2.1 + GATEWAY_GRACE_S
    assert ends(2.0, world.now + 1.0) == 1.1 + GATEWAY_GRACE_S
    assert ends(2.0, world.now + 3.0) == 2.1 + GATEWAY_GRACE_S
    assert ends(2.0, world.now - 1.0) == 0.0


def test_what_a_resource_is_reaches_the_other_brokers() -> None:
    world = World(1, brokers=2, gateways=1)
    world.run(3.0)
    gateway = world.gateways[0]
    gateway.appear("A")
    gateway.send(NodeDescribed(uid="A", types={"t": ResourceType(label="Boiler")}))
    world.run(1.0)
    for broker in world.brokers.values():
        node = broker.router.nodes.get("A")
        assert node is not None
        assert node.record.described["t"].label == "Boiler"


def test_a_frame_that_is_not_understood_is_requested_again() -> None:
    world = World(1, brokers=2, gateways=1)
    world.run(3.0)
    member = world.brokers["broker 1"].member
    (peer,) = member.peers.values()
    stream = peer.incoming
    header = FrameHeader(sender=peer.run, generation=stream.generation, number=stream.next_number)
    before = member.resyncs
    member.receive_packet(frame(header, b"[{}]"), world.now, TS)
    assert member.invalid == 1
    world.run(2.0)
    assert member.resyncs == before + 1
    assert peer.is_complete


def test_frames_show_that_a_broker_is_there() -> None:
    world = World(1, brokers=2, gateways=1)
    world.run(3.0)
    world.gateways[0].appear("A")
    world.run(0.3)
    world.gateways[0].read("A", "t", 1)
    world.run(0.04)
    (peer,) = world.brokers["broker 1"].member.state(world.now).peers
    assert peer.silent_s < 0.05


def test_commands_and_receipts_wake_their_broker() -> None:
    world = World(1, brokers=2, gateways=1)
    world.run(3.0)
    world.gateways[0].appear("A")
    world.run(1.0)
    woken: list[tuple[str, bool]] = []
    for broker in world.brokers.values():
        name = broker.name
        broker.member._wake = lambda urgent, name=name: woken.append((name, urgent))  # type: ignore[misc]
    world.issue("broker 1", "A")
    assert woken == [("broker 1", True)]
    world.run(0.5)
    assert ("broker 0", True) in woken


def test_the_state_of_a_cluster_has_the_others_while_they_are_known() -> None:
    world = World(1, brokers=2, gateways=1)
    member = world.brokers["broker 1"].member
    assert member.state(world.now).peers == ()
    world.run(3.0)
    world.gateways[0].appear("A")
    world.run(2.0)
    (peer,) = member.state(world.now).peers
    assert (peer.name, peer.state, peer.nodes, peer.gateways) == ("broker 0", "online", 1, 1)
    assert peer.silent_s < 1.1
    world.gateways[0].brokers = ["broker 0"]
    world.kill("broker 0")
    world.run(5.0)
    (peer,) = member.state(world.now).peers
    assert peer.state == "lost"
    assert peer.silent_s > 3.0
    world.run(10.0)
    assert member.state(world.now).peers == ()


def test_a_document_that_one_broker_sets_is_given_to_all_others() -> None:
    world = World(1, brokers=3, gateways=1)
    world.run(3.0)
    members = [broker.member for broker in world.brokers.values()]
    documents = [("view", "a", "{}"), ("view", "b", None)]
    members[0].local.documents_set(documents)
    world.run(1.0)
    assert [it.take_documents() for it in members] == [[], documents, documents]
    assert members[1].take_documents() == []


def test_one_broker_leads_and_the_next_one_follows_it() -> None:
    world = World(1, brokers=3, gateways=1)

    def leaders() -> list[str]:
        alive = [it for it in world.brokers.values() if it.is_alive]
        return [it.name for it in alive if it.member.leads(world.now)]

    world.run(9.0)
    assert leaders() == []
    world.run(2.0)
    assert leaders() == ["broker 0"]
    world.kill("broker 0")
    world.run(4.0)  # and a second until it looks: LEADER_INTERVAL_S
    assert leaders() == ["broker 1"]


def test_a_gateway_is_sent_before_the_claim_of_its_first_node() -> None:
    world = World(1, brokers=1, gateways=1)
    world.run(1.0)
    member = world.brokers["broker 0"].member
    # As if it had linked and reported a node in one turn of the loop.
    member.local.gateways.clear()
    member.out._gathered.clear()
    world.gateways[0].appear("A")
    assert [type(it) for it in member.out._gathered] == [GatewayItem, NodeClaim]
