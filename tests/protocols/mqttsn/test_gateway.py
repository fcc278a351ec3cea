# SPDX-License-Identifier: BSD-3-Clause
"""Which session gets a datagram, and what unknown peers are answered."""

import math

import msgspec
import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqttsn.gateway import (
    CLIENT_ID_CHARACTERS_MAX,
    LEFT_PEERS_MAX,
    MqttSnGatewayProtocol,
)
from pyaiot.protocols.mqttsn.gateway_events import (
    Broadcast,
    Output,
    PublishWithoutConnection,
    Send,
    ToMqtt,
)
from pyaiot.protocols.mqttsn.mqtt import (
    MqttConnect,
    MqttConnected,
    MqttDisconnect,
    MqttLost,
    MqttMessage,
    MqttSubscribe,
    MqttSubscribed,
    mqtt_client_id,
)
from pyaiot.protocols.mqttsn.numbers import ReturnCode, TopicIdType
from pyaiot.protocols.mqttsn.packets import (
    Advertise,
    ConnAck,
    Connect,
    Disconnect,
    Forwarded,
    GwInfo,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    PubRel,
    RegAck,
    Register,
    SearchGw,
    SubAck,
    Subscribe,
    UnsubAck,
    WillMsg,
    WillMsgResp,
    WillMsgUpd,
    WillTopic,
    WillTopicReq,
    WillTopicResp,
    WillTopicUpd,
)
from pyaiot.protocols.mqttsn.session_data import WILL_BYTES_MAX
from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig
from pyaiot.protocols.mqttsn.shares import ENTRY_BYTES

PREDEFINED, SHORT = TopicIdType.PREDEFINED, TopicIdType.SHORT
QUIET = GatewayConfig(advertise_s=None, session=SessionConfig(predefined={7: "alarm"}))


class Peers:
    """A table on a clock that the test moves."""

    def __init__(self, **changes: object) -> None:
        self.now = 1000.0
        config = msgspec.structs.replace(QUIET, **changes)
        self.gateway: MqttSnGatewayProtocol[str] = MqttSnGatewayProtocol(config, now=self.now)

    def receive(self, packet: Packet, address: str = "here") -> list[Output[str]]:
        return self.gateway.receive_datagram(packet.to_bytes(), address, now=self.now)

    def connected(self, client_id: str = "node", address: str = "here", **flags: bool) -> None:
        self.receive(Connect(client_id, 360, **flags), address)
        outputs = self.gateway.receive_mqtt_event(client_id, MqttConnected(), now=self.now)
        assert outputs == [to(address, ConnAck())]

    def wait(self) -> list[Output[str]]:
        """Until something happens."""
        outputs: list[Output[str]] = []
        while not outputs and (timer_at := self.gateway.get_timer()) is not None:
            self.now = timer_at
            outputs = self.gateway.handle_timer(now=self.now)
        return outputs


def to(address: str, packet: Packet) -> Send[str]:
    return Send(address, packet.to_bytes())


def test_a_datagram_reaches_the_session_of_its_address() -> None:
    peers = Peers()
    assert peers.receive(Connect("node", 360)) == [ToMqtt("node", MqttConnect("node", True, 360))]
    assert peers.gateway.receive_mqtt_event("node", MqttConnected(), now=1000) == [
        to("here", ConnAck())
    ]
    assert peers.receive(Register("a", 1)) == [to("here", RegAck(1, 1))]
    assert len(peers.gateway) == 1


def test_wrong_bytes_are_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        Peers().gateway.receive_datagram(b"\x05\x18", "here", now=0)


@pytest.mark.parametrize(
    "packet",
    [
        Publish(1, b"", 1, 1),
        Register("a", 1),
        Subscribe("a", 1),
        PingReq(),
        PingReq("x"),
        PubRel(1),
    ],
)
def test_an_unknown_client_is_disconnected_so_that_it_connects(packet: Packet) -> None:
    assert Peers().receive(packet) == [to("here", Disconnect())]


@pytest.mark.parametrize(
    "packet", [Disconnect(), Disconnect(5), ConnAck(), PingResp(), GwInfo(1), WillTopicReq()]
)
def test_gateways_do_not_answer_each_other(packet: Packet) -> None:
    assert Peers().receive(packet) == []


def test_a_repeated_disconnect_is_answered_though_the_session_ended() -> None:
    peers = Peers()
    peers.connected()
    assert to("here", Disconnect()) in peers.receive(Disconnect())
    assert peers.receive(Disconnect()) == [to("here", Disconnect())]
    for number in range(LEFT_PEERS_MAX):
        peers.connected(address=f"{number}")
        peers.receive(Disconnect(), f"{number}")
    assert peers.receive(Disconnect()) == []


def test_a_client_id_belongs_to_who_connected_last() -> None:
    peers = Peers()
    peers.connected()
    assert peers.receive(Connect("node", 360), "there") == [
        to("here", Disconnect()),
        ToMqtt("node", MqttConnect("node", True, 360)),
    ]
    peers.gateway.receive_mqtt_event("node", MqttConnected(), now=peers.now)
    assert peers.receive(PingReq(), "there") == [to("there", PingResp())]
    assert peers.receive(PingReq(), "here") == [to("here", Disconnect())]
    assert len(peers.gateway) == 1


def test_another_client_at_the_same_address_ends_the_one_before() -> None:
    peers = Peers()
    peers.connected()
    assert peers.receive(Connect("other", 360)) == [
        ToMqtt("node", MqttDisconnect(with_will=True)),
        ToMqtt("other", MqttConnect("other", True, 360)),
    ]
    assert len(peers.gateway) == 1
    assert peers.gateway.session("node") is None


def test_pingreq_with_the_id_of_another_client_is_refused() -> None:
    peers = Peers()
    peers.connected()
    assert peers.receive(PingReq("other")) == [to("here", Disconnect())]


@pytest.mark.parametrize(
    "client_id", ["", "a/b", "+", "#", "a\nb", "x" * (CLIENT_ID_CHARACTERS_MAX + 1)]
)
def test_a_client_id_that_cannot_be_is_refused(client_id: str) -> None:
    peers = Peers()
    refusal = [to("here", ConnAck(ReturnCode.NOT_SUPPORTED))]
    assert peers.receive(Connect(client_id, 360)) == refusal
    assert len(peers.gateway) == 0


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        ("07 04 04 01 0168 ff", ConnAck(ReturnCode.NOT_SUPPORTED)),
        ("08 0a 0000 0007 c328", RegAck(0, 7, ReturnCode.INVALID_TOPIC_ID)),
        ("06 12 00 0007 ff", SubAck(0, 7, ReturnCode.INVALID_TOPIC_ID)),
        ("07 12 02 0007 61ff", SubAck(0, 7, ReturnCode.INVALID_TOPIC_ID)),
        ("06 14 00 0007 ff", UnsubAck(7)),
        ("04 1a 00 ff", WillTopicResp(ReturnCode.NOT_SUPPORTED)),
        ("03 16 ff", Disconnect()),
    ],
)
def test_text_that_is_not_utf8_is_refused_with_the_answer_of_its_packet(
    wire: str, answer: Packet
) -> None:
    peers = Peers()
    peers.connected()
    datagram = bytes.fromhex(wire)
    assert peers.gateway.receive_datagram(datagram, "here", now=peers.now) == [to("here", answer)]


def test_a_will_topic_that_is_not_utf8_refuses_the_connection() -> None:
    peers = Peers()
    peers.receive(Connect("node", 360, will=True))
    outputs = peers.gateway.receive_datagram(b"\x04\x07\x00\xff", "here", now=peers.now)
    assert outputs == [to("here", ConnAck(ReturnCode.NOT_SUPPORTED))]


def test_another_protocol_id_is_refused() -> None:
    peers = Peers()
    refusal = [to("here", ConnAck(ReturnCode.NOT_SUPPORTED))]
    assert peers.receive(Connect("node", 360, protocol_id=2)) == refusal


def test_one_client_too_many_is_congestion_until_one_leaves() -> None:
    peers = Peers(clients_max=2)
    peers.connected("a", "1")
    peers.connected("b", "2")
    assert peers.receive(Connect("c", 360), "3") == [to("3", ConnAck(ReturnCode.CONGESTION))]
    assert peers.gateway.session("c") is None
    assert peers.receive(Connect("b", 360), "3")[0] == to("2", Disconnect())  # not one more
    peers.receive(Disconnect(), "1")
    peers.connected("c", "4")
    assert len(peers.gateway) == 2


def test_a_clean_session_is_forgotten_and_a_durable_one_kept_up_to_a_limit() -> None:
    peers = Peers(kept_max=2)
    for number in range(4):
        peers.connected(f"d{number}", f"{number}", clean_session=False)
        peers.receive(Disconnect(), f"{number}")
    peers.connected("clean", "5")
    peers.receive(Disconnect(), "5")
    kept = [name for name in ("d0", "d1", "d2", "d3", "clean") if peers.gateway.session(name)]
    assert kept == ["d2", "d3"]
    assert len(peers.gateway) == 0


def test_a_kept_session_is_found_from_another_address() -> None:
    peers = Peers()
    peers.connected(clean_session=False)
    peers.receive(Register("a/b", 1))
    peers.receive(Disconnect())
    peers.connected(address="there", clean_session=False)
    assert peers.receive(Publish(1, b"", 0), "there") != [
        to("there", PubAck(1, 0, ReturnCode.INVALID_TOPIC_ID))
    ]


def test_silent_clients_are_lost_each_at_its_time() -> None:
    peers = Peers()
    peers.connected("a", "1")
    peers.now += 100
    peers.connected("b", "2")
    assert peers.wait() == [ToMqtt("a", MqttDisconnect(with_will=True))]
    assert peers.now == 1540
    peers.now = 1600
    peers.receive(PingReq(), "2")
    assert peers.wait() == [ToMqtt("b", MqttDisconnect(with_will=True))]
    assert peers.now == 1600 + 540
    assert peers.gateway.get_timer() is None
    assert len(peers.gateway) == 0


def test_times_to_wake_do_not_pile_up() -> None:
    peers = Peers()
    peers.connected()
    (action,) = peers.receive(Subscribe("news", 1, 1))
    assert isinstance(action, ToMqtt)
    assert isinstance(action.action, MqttSubscribe)
    subscribed = MqttSubscribed(action.action.token, 1)
    assert peers.gateway.receive_mqtt_event("node", subscribed, now=peers.now) == [
        to("here", SubAck(1, 1, qos=1))
    ]
    for number in range(2000):
        (send,) = peers.gateway.receive_mqtt_event(
            "node", MqttMessage("news", b"", 1), now=peers.now
        )
        assert isinstance(send, Send)
        peers.now += 11
        peers.gateway.handle_timer(now=peers.now)
        peers.receive(PubAck(1, number + 1))
    assert len(peers.gateway._heap) < 100


def test_events_of_a_session_that_ended_are_ignored() -> None:
    assert Peers().gateway.receive_mqtt_event("nobody", MqttConnected(), now=0) == []


# 6.1


def test_searchgw_is_answered_with_gwinfo() -> None:
    assert Peers(gateway_id=9).receive(SearchGw()) == [to("here", GwInfo(9))]


def test_advertise_is_sent_at_the_start_and_after_every_interval() -> None:
    peers = Peers(advertise_s=900.0, gateway_id=9)
    advertise = Broadcast(Advertise(9, 900).to_bytes())
    assert [peers.wait(), peers.wait()] == [[advertise], [advertise]]
    assert peers.now == 1900


def test_a_quiet_gateway_does_not_advertise() -> None:
    assert Peers().gateway.get_timer() is None


# 6.8


@pytest.mark.parametrize(
    ("kind", "topic_id", "topic"), [(PREDEFINED, 7, "alarm"), (SHORT, 0x6162, "ab")]
)
def test_qos_minus_1_is_published_for_every_peer_if_enabled(
    kind: TopicIdType, topic_id: int, topic: str
) -> None:
    packet = Publish(topic_id, b"x", -1, topic_id_type=kind, retain=True)
    assert Peers().receive(packet) == []
    assert Peers(publish_without_connection=True).receive(packet) == [
        PublishWithoutConnection(topic, b"x", retain=True)
    ]


@pytest.mark.parametrize(
    "packet",
    [
        Publish(7, b"", -1),
        Publish(8, b"", -1, topic_id_type=PREDEFINED),
        Publish(0x2B2B, b"", -1, topic_id_type=SHORT),
    ],
)
def test_qos_minus_1_to_an_unknown_topic_is_ignored(packet: Publish) -> None:
    assert Peers(publish_without_connection=True).receive(packet) == []


# 5.5


def test_clients_behind_a_forwarder_are_distinguished() -> None:
    peers = Peers()
    for node_id in (b"\1", b"\2"):
        name = f"node{node_id[0]}"
        peers.receive(Forwarded(Connect(name, 360), node_id), "forwarder")
        expected = to("forwarder", Forwarded(ConnAck(), node_id))
        assert peers.gateway.receive_mqtt_event(name, MqttConnected(), now=peers.now) == [expected]
    assert len(peers.gateway) == 2
    assert peers.receive(PingReq(), "forwarder") == [to("forwarder", Disconnect())]


def test_what_was_dropped_stays_counted_when_its_client_is_forgotten() -> None:
    peers = Peers(session=SessionConfig(messages_max=1), kept_max=1)
    for client_id, clean in (("gone", True), ("kept", False), ("pushed out", False)):
        peers.connected(client_id, client_id, clean_session=clean)
        peers.gateway.receive_mqtt_event(
            client_id, MqttMessage("a/b", b"x" * 70_000, 0, retain=False), now=peers.now
        )
        peers.receive(Disconnect(), client_id)
    assert peers.gateway.dropped == 3
    # The first two are forgotten: one was clean, and there is room for one of the others.
    kept = [name for name in ("gone", "kept", "pushed out") if peers.gateway.session(name)]
    assert kept == ["pushed out"]


# The will of a client whose place is taken


def mortal(peers: Peers, address: str = "here", **flags: bool) -> None:
    """A client with a will."""
    peers.receive(Connect("node", 360, will=True, **flags), address)
    peers.receive(WillTopic("last/node", qos=1), address)
    peers.receive(WillMsg(b"gone"), address)
    outputs = peers.gateway.receive_mqtt_event("node", MqttConnected(), now=peers.now)
    assert outputs == [to(address, ConnAck())]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("sleeps", [True, False])
def test_the_will_is_published_when_another_address_takes_the_client_id(
    clean: bool, sleeps: bool
) -> None:
    peers = Peers()
    mortal(peers, clean_session=clean)
    if sleeps:
        peers.receive(Disconnect(60))
    first, second, *others = peers.receive(Connect("node", 360, clean_session=clean), "there")
    assert first == to("here", Disconnect())
    assert second == ToMqtt("node", MqttDisconnect(with_will=True))
    assert [type(output.action) for output in others if isinstance(output, ToMqtt)] == [MqttConnect]


def test_the_will_is_published_once_when_its_connection_is_lost_already() -> None:
    peers = Peers()
    mortal(peers)
    peers.gateway.receive_mqtt_event("node", MqttLost(), now=peers.now)
    outputs = peers.receive(Connect("node", 360), "there")
    assert ToMqtt("node", MqttDisconnect(with_will=True)) not in outputs


def test_the_will_of_a_client_that_connects_again_from_its_address_is_not_published() -> None:
    peers = Peers()
    mortal(peers)
    peers.now += 10
    outputs = peers.receive(Connect("node", 360))
    assert outputs == [ToMqtt("node", MqttConnect("node", True, 360))]


def test_a_will_that_is_too_long_is_refused() -> None:
    peers = Peers()
    peers.receive(Connect("node", 360, will=True))
    peers.receive(WillTopic("last/node"))
    refusal = [to("here", ConnAck(ReturnCode.NOT_SUPPORTED))]
    assert peers.receive(WillMsg(b"x" * (WILL_BYTES_MAX + 1))) == refusal
    mortal(peers)
    assert peers.receive(WillMsgUpd(b"x" * (WILL_BYTES_MAX + 1))) == [
        to("here", WillMsgResp(ReturnCode.NOT_SUPPORTED))
    ]


# Shares of hosts


def peers_of_hosts(**changes: object) -> Peers:
    """The host is what stands before the colon."""
    peers = Peers(**changes)
    peers.gateway = MqttSnGatewayProtocol(
        peers.gateway._config, now=peers.now, host_of=lambda address: address.partition(":")[0]
    )
    return peers


def test_a_host_has_a_share_of_the_connections() -> None:
    peers = peers_of_hosts(clients_per_host_max=2)
    peers.connected("a", "x:1")
    peers.connected("b", "x:2")
    assert peers.receive(Connect("c", 360), "x:3") == [to("x:3", ConnAck(ReturnCode.CONGESTION))]
    peers.connected("c", "y:1")
    # A client gets no place by taking over a client id, and a connected client may move.
    assert peers.receive(Connect("c", 360), "x:3") == [to("x:3", ConnAck(ReturnCode.CONGESTION))]
    assert peers.receive(PingReq(), "y:1") == [to("y:1", PingResp())]
    assert peers.receive(Connect("b", 360), "x:4")[0] == to("x:2", Disconnect())
    peers.receive(Disconnect(), "x:1")
    peers.connected("d", "x:5")


def test_hosts_are_forgotten_with_their_clients() -> None:
    peers = peers_of_hosts(kept_max=2)
    for number in range(20):
        peers.connected(f"a{number}", f"{number}:1", clean_session=False)
        peers.receive(Register("a/b", 1), f"{number}:1")
        peers.receive(Disconnect(), f"{number}:1")
    for number in range(20):
        peers.connected(f"b{number}", f"{number}:1")
        peers.receive(Register("a/b", 1), f"{number}:1")
        peers.receive(Disconnect(), f"{number}:1")
    assert len(peers.gateway._hosts) == 2
    assert peers.gateway._hosts.topics.used == 2 * (ENTRY_BYTES + 3)


def test_a_host_does_not_push_out_the_kept_sessions_of_others() -> None:
    peers = peers_of_hosts(kept_max=8)
    for number in range(30):
        peers.connected(f"a{number}", "x:1", clean_session=False)
        peers.receive(Disconnect(), "x:1")
        if number < 6:
            peers.connected(f"b{number}", f"{number}:1", clean_session=False)
            peers.receive(Disconnect(), f"{number}:1")
    assert all(peers.gateway.session(f"b{number}") for number in range(6))
    assert peers.gateway.session("a29") is not None
    assert peers.gateway.session("a0") is None


def test_topics_of_a_client_and_of_a_host_and_of_all_are_limited_in_bytes() -> None:
    size = ENTRY_BYTES + 100
    peers = peers_of_hosts(
        session=SessionConfig(topic_bytes_max=400), topic_bytes_total_max=20 * size
    )

    def registered(address: str) -> int:
        """How many topics of 100 bytes get an id."""
        codes = []
        for number in range(10):
            (answer,) = peers.receive(Register(f"{number:100}", 1), address)
            assert isinstance(answer, Send)
            codes.append(RegAck.from_bytes(answer.datagram).return_code)
        return codes.count(ReturnCode.ACCEPTED)

    peers.gateway._config = msgspec.structs.replace(
        peers.gateway._config,
        session=SessionConfig(topic_bytes_max=400, spaces_in_topics=True),
    )
    counts = []
    for host in "uvwxyz":
        for port in range(2):
            peers.connected(f"{host}{port}", f"{host}:{port}")
            counts.append(registered(f"{host}:{port}"))
    assert counts == [4, 1] * 4 + [0, 0] * 2
    peers.receive(Disconnect(), "u:0")
    assert registered("y:1") == 4


def test_filters_are_limited_in_bytes() -> None:
    peers = Peers(session=SessionConfig(topic_bytes_max=1000))
    peers.connected()
    codes = []
    for number in range(5):
        outputs = peers.receive(Subscribe(f"{'x' * 300}{number}/+", number + 1, 1))
        (output,) = outputs
        if isinstance(output, ToMqtt):
            assert isinstance(output.action, MqttSubscribe)
            subscribed = MqttSubscribed(output.action.token, 1)
            (output,) = peers.gateway.receive_mqtt_event("node", subscribed, now=peers.now)
        assert isinstance(output, Send)
        codes.append(SubAck.from_bytes(output.datagram).return_code)
    assert codes == [0, 0, 0, 1, 1]


# Topics that the MQTT broker does not take


def test_a_topic_with_a_space_is_not_supported() -> None:
    peers = Peers(session=SessionConfig(predefined={7: "my alarm", 8: "a\tb"}))
    peers.connected()
    refused = ReturnCode.NOT_SUPPORTED
    assert peers.receive(Register("node/x/a b", 1)) == [to("here", RegAck(0, 1, refused))]
    assert peers.receive(Register("node/x/a\tb", 2)) == [to("here", RegAck(0, 2, refused))]
    for topic_id, kind in ((7, PREDEFINED), (8, PREDEFINED), (0x6120, SHORT)):
        publish = Publish(topic_id, b"1", 1, 5, kind)
        assert peers.receive(publish) == [to("here", PubAck(topic_id, 5, refused))]
    assert peers.receive(WillTopicUpd("a b")) == [to("here", WillTopicResp(refused))]
    peers.receive(Connect("other", 360, will=True), "there")
    assert peers.receive(WillTopic("a b"), "there") == [to("there", ConnAck(refused))]


def test_a_topic_with_a_space_is_served_if_the_broker_accepts_it() -> None:
    peers = Peers(session=SessionConfig(spaces_in_topics=True))
    peers.connected()
    assert peers.receive(Register("node/x/a b", 1)) == [to("here", RegAck(1, 1))]
    assert isinstance(peers.receive(Publish(1, b"1", 1, 2))[0], ToMqtt)


def test_qos_minus_1_with_a_space_does_not_reach_the_connection_of_all() -> None:
    packet = Publish(0x6120, b"x", -1, topic_id_type=SHORT)
    assert Peers(publish_without_connection=True).receive(packet) == []


@pytest.mark.parametrize("client_id", ["a.b", "a b", "*", ">", "100%", "é"])
def test_a_client_id_that_nats_does_not_take_is_escaped_there(client_id: str) -> None:
    Peers().connected(client_id)
    assert not set(mqtt_client_id(client_id)) & set(".*> ")


def test_no_two_client_ids_are_one_at_the_broker() -> None:
    ids = ["a.b", "a%2Eb", "a%b", "ab", "a b", "a*b", "a>b", "a%252Eb"]
    assert len({mqtt_client_id(client_id) for client_id in ids}) == len(ids)
    assert mqtt_client_id("samr21-1_x") == "samr21-1_x"


# Deadlines


def test_a_command_without_a_known_deadline_is_kept_for_so_long() -> None:
    peers = Peers(command_s_max=60.0)
    peers.connected()
    peers.receive(Disconnect(600))
    for topic, qos in (("gateway/node/led/set", 0), ("gateway/node/led/set", 1), ("news", 0)):
        message = MqttMessage(topic, b"%d" % qos, qos)
        peers.gateway.receive_mqtt_event("node", message, now=peers.now)
    session = peers.gateway.session("node")
    assert session is not None
    assert [kept.expires_at for kept in session.delivery._queue] == [1060.0, math.inf, math.inf]


def test_a_command_is_kept_until_its_deadline() -> None:
    peers = Peers()
    deadlines = {("gateway/node/led/set", b"1"): 1001.0}
    peers.gateway = MqttSnGatewayProtocol(
        QUIET, now=peers.now, deadline_of=lambda *command: deadlines.get(command)
    )
    peers.connected()
    peers.receive(Disconnect(600))
    for payload in (b"0", b"1"):
        message = MqttMessage("gateway/node/led/set", payload, 0)
        peers.gateway.receive_mqtt_event("node", message, now=peers.now)
    session = peers.gateway.session("node")
    assert session is not None
    assert [kept.expires_at for kept in session.delivery._queue] == [math.inf, 1001.0]
