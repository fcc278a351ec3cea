# SPDX-License-Identifier: BSD-3-Clause
"""Which datagram belongs to whose session, and what strangers are told."""

import math

import msgspec
import pytest

from pyaiot.errors import ProtocolError
from pyaiot.protocols.mqttsn.gateway_table import (
    CLIENT_ID_CHARACTERS_MAX,
    GONE_MAX,
    Broadcast,
    GatewayTable,
    Output,
    PublishForAnybody,
    Send,
    ToMqtt,
)
from pyaiot.protocols.mqttsn.memory import WILL_BYTES_MAX
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
    WillMsg,
    WillMsgResp,
    WillMsgUpd,
    WillTopic,
    WillTopicReq,
    WillTopicResp,
    WillTopicUpd,
)
from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig
from pyaiot.protocols.mqttsn.shares import ENTRY_BYTES

PREDEFINED, SHORT = TopicIdType.PREDEFINED, TopicIdType.SHORT
QUIET = GatewayConfig(advertise_s=None, session=SessionConfig(predefined={7: "alarm"}))


class Door:
    """A table on a clock that the test moves."""

    def __init__(self, **changes: object) -> None:
        self.now = 1000.0
        config = msgspec.structs.replace(QUIET, **changes)
        self.table: GatewayTable[str] = GatewayTable(config, now=self.now)

    def got(self, packet: Packet, address: str = "here") -> list[Output[str]]:
        return self.table.received(packet.to_bytes(), address, now=self.now)

    def connected(self, client_id: str = "node", address: str = "here", **flags: bool) -> None:
        self.got(Connect(client_id, 360, **flags), address)
        outputs = self.table.mqtt(client_id, MqttConnected(), now=self.now)
        assert outputs == [to(address, ConnAck())]

    def wait(self) -> list[Output[str]]:
        """Until something happens."""
        outputs: list[Output[str]] = []
        while not outputs and self.table.wake_at is not None:
            self.now = self.table.wake_at
            outputs = self.table.timeout(now=self.now)
        return outputs


def to(address: str, packet: Packet) -> Send[str]:
    return Send(address, packet.to_bytes())


def test_a_datagram_reaches_the_session_of_its_address() -> None:
    door = Door()
    assert door.got(Connect("node", 360)) == [ToMqtt("node", MqttConnect("node", True, 360))]
    assert door.table.mqtt("node", MqttConnected(), now=1000) == [to("here", ConnAck())]
    assert door.got(Register("a", 1)) == [to("here", RegAck(1, 1))]
    assert len(door.table) == 1


def test_wrong_bytes_are_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        Door().table.received(b"\x05\x18", "here", now=0)


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
def test_a_client_that_the_gateway_does_not_know_is_told_to_connect(packet: Packet) -> None:
    assert Door().got(packet) == [to("here", Disconnect())]


@pytest.mark.parametrize(
    "packet", [Disconnect(), Disconnect(5), ConnAck(), PingResp(), GwInfo(1), WillTopicReq()]
)
def test_gateways_do_not_answer_each_other(packet: Packet) -> None:
    assert Door().got(packet) == []


def test_a_repeated_disconnect_is_answered_though_the_session_ended() -> None:
    door = Door()
    door.connected()
    assert to("here", Disconnect()) in door.got(Disconnect())
    assert door.got(Disconnect()) == [to("here", Disconnect())]
    for number in range(GONE_MAX):
        door.connected(address=f"{number}")
        door.got(Disconnect(), f"{number}")
    assert door.got(Disconnect()) == []


def test_a_client_id_belongs_to_who_connected_last() -> None:
    door = Door()
    door.connected()
    assert door.got(Connect("node", 360), "there") == [
        to("here", Disconnect()),
        ToMqtt("node", MqttConnect("node", True, 360)),
    ]
    door.table.mqtt("node", MqttConnected(), now=door.now)
    assert door.got(PingReq(), "there") == [to("there", PingResp())]
    assert door.got(PingReq(), "here") == [to("here", Disconnect())]
    assert len(door.table) == 1


def test_another_client_at_the_same_address_ends_the_one_before() -> None:
    door = Door()
    door.connected()
    assert door.got(Connect("other", 360)) == [
        ToMqtt("node", MqttDisconnect(with_will=True)),
        ToMqtt("other", MqttConnect("other", True, 360)),
    ]
    assert len(door.table) == 1
    assert door.table.session("node") is None


def test_pingreq_with_the_id_of_another_client_is_refused() -> None:
    door = Door()
    door.connected()
    assert door.got(PingReq("other")) == [to("here", Disconnect())]


@pytest.mark.parametrize(
    "client_id", ["", "a/b", "+", "#", "a\nb", "x" * (CLIENT_ID_CHARACTERS_MAX + 1)]
)
def test_a_client_id_that_cannot_be_is_refused(client_id: str) -> None:
    door = Door()
    refusal = [to("here", ConnAck(ReturnCode.NOT_SUPPORTED))]
    assert door.got(Connect(client_id, 360)) == refusal
    assert len(door.table) == 0


def test_another_protocol_id_is_refused() -> None:
    door = Door()
    refusal = [to("here", ConnAck(ReturnCode.NOT_SUPPORTED))]
    assert door.got(Connect("node", 360, protocol_id=2)) == refusal


def test_one_client_too_many_is_congestion_until_one_leaves() -> None:
    door = Door(clients_max=2)
    door.connected("a", "1")
    door.connected("b", "2")
    assert door.got(Connect("c", 360), "3") == [to("3", ConnAck(ReturnCode.CONGESTION))]
    assert door.table.session("c") is None
    assert door.got(Connect("b", 360), "3")[0] == to("2", Disconnect())  # not one more
    door.got(Disconnect(), "1")
    door.connected("c", "4")
    assert len(door.table) == 2


def test_a_clean_session_is_forgotten_and_a_durable_one_kept_up_to_a_limit() -> None:
    door = Door(kept_max=2)
    for number in range(4):
        door.connected(f"d{number}", f"{number}", clean_session=False)
        door.got(Disconnect(), f"{number}")
    door.connected("clean", "5")
    door.got(Disconnect(), "5")
    kept = [name for name in ("d0", "d1", "d2", "d3", "clean") if door.table.session(name)]
    assert kept == ["d2", "d3"]
    assert len(door.table) == 0


def test_a_kept_session_is_found_from_another_address() -> None:
    door = Door()
    door.connected(clean_session=False)
    door.got(Register("a/b", 1))
    door.got(Disconnect())
    door.connected(address="there", clean_session=False)
    assert door.got(Publish(1, b"", 0), "there") != [
        to("there", PubAck(1, 0, ReturnCode.INVALID_TOPIC_ID))
    ]


def test_silent_clients_are_lost_each_at_its_time() -> None:
    door = Door()
    door.connected("a", "1")
    door.now += 100
    door.connected("b", "2")
    assert door.wait() == [ToMqtt("a", MqttDisconnect(with_will=True))]
    assert door.now == 1540
    door.now = 1600
    door.got(PingReq(), "2")
    assert door.wait() == [ToMqtt("b", MqttDisconnect(with_will=True))]
    assert door.now == 1600 + 540
    assert door.table.wake_at is None
    assert len(door.table) == 0


def test_times_to_wake_do_not_pile_up() -> None:
    door = Door()
    door.connected()
    (action,) = door.got(Subscribe("news", 1, 1))
    assert isinstance(action, ToMqtt)
    assert isinstance(action.action, MqttSubscribe)
    subscribed = MqttSubscribed(action.action.token, 1)
    assert door.table.mqtt("node", subscribed, now=door.now) == [to("here", SubAck(1, 1, qos=1))]
    for number in range(2000):
        (send,) = door.table.mqtt("node", MqttMessage("news", b"", 1), now=door.now)
        assert isinstance(send, Send)
        door.now += 11
        door.table.timeout(now=door.now)
        door.got(PubAck(1, number + 1))
    assert len(door.table._heap) < 100


def test_events_of_a_session_that_ended_are_ignored() -> None:
    assert Door().table.mqtt("nobody", MqttConnected(), now=0) == []


# 6.1


def test_who_searches_a_gateway_finds_it() -> None:
    assert Door(gateway_id=9).got(SearchGw()) == [to("here", GwInfo(9))]


def test_advertise_is_sent_at_the_start_and_after_every_interval() -> None:
    door = Door(advertise_s=900.0, gateway_id=9)
    advertise = Broadcast(Advertise(9, 900).to_bytes())
    assert [door.wait(), door.wait()] == [[advertise], [advertise]]
    assert door.now == 1900


def test_a_quiet_gateway_does_not_advertise() -> None:
    assert Door().table.wake_at is None


# 6.8


@pytest.mark.parametrize(
    ("kind", "topic_id", "topic"), [(PREDEFINED, 7, "alarm"), (SHORT, 0x6162, "ab")]
)
def test_qos_minus_1_is_published_for_anybody_if_it_is_switched_on(
    kind: TopicIdType, topic_id: int, topic: str
) -> None:
    packet = Publish(topic_id, b"x", -1, topic_id_type=kind, retain=True)
    assert Door().got(packet) == []
    assert Door(publish_without_connection=True).got(packet) == [
        PublishForAnybody(topic, b"x", retain=True)
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
    assert Door(publish_without_connection=True).got(packet) == []


# 5.5


def test_clients_behind_a_forwarder_are_told_apart() -> None:
    door = Door()
    for node_id in (b"\1", b"\2"):
        name = f"node{node_id[0]}"
        door.got(Forwarded(Connect(name, 360), node_id), "forwarder")
        expected = to("forwarder", Forwarded(ConnAck(), node_id))
        assert door.table.mqtt(name, MqttConnected(), now=door.now) == [expected]
    assert len(door.table) == 2
    assert door.got(PingReq(), "forwarder") == [to("forwarder", Disconnect())]


def test_what_was_dropped_stays_counted_when_its_client_is_forgotten() -> None:
    door = Door(session=SessionConfig(messages_max=1), kept_max=1)
    for client_id, clean in (("gone", True), ("kept", False), ("pushed out", False)):
        door.connected(client_id, client_id, clean_session=clean)
        door.table.mqtt(client_id, MqttMessage("a/b", b"x" * 70_000, 0, retain=False), now=door.now)
        door.got(Disconnect(), client_id)
    assert door.table.dropped == 3
    # The first two are forgotten: one was clean, and there is room for one of the others.
    kept = [name for name in ("gone", "kept", "pushed out") if door.table.session(name)]
    assert kept == ["pushed out"]


# The will of a client whose place is taken


def mortal(door: Door, address: str = "here", **flags: bool) -> None:
    """A client with a will."""
    door.got(Connect("node", 360, will=True, **flags), address)
    door.got(WillTopic("last/node", qos=1), address)
    door.got(WillMsg(b"gone"), address)
    outputs = door.table.mqtt("node", MqttConnected(), now=door.now)
    assert outputs == [to(address, ConnAck())]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("sleeps", [True, False])
def test_the_will_is_published_when_another_address_takes_the_client_id(
    clean: bool, sleeps: bool
) -> None:
    door = Door()
    mortal(door, clean_session=clean)
    if sleeps:
        door.got(Disconnect(60))
    first, second, *others = door.got(Connect("node", 360, clean_session=clean), "there")
    assert first == to("here", Disconnect())
    assert second == ToMqtt("node", MqttDisconnect(with_will=True))
    assert [type(output.action) for output in others if isinstance(output, ToMqtt)] == [MqttConnect]


def test_the_will_is_published_once_when_its_connection_is_lost_already() -> None:
    door = Door()
    mortal(door)
    door.table.mqtt("node", MqttLost(), now=door.now)
    outputs = door.got(Connect("node", 360), "there")
    assert ToMqtt("node", MqttDisconnect(with_will=True)) not in outputs


def test_the_will_of_a_client_that_connects_again_from_its_address_is_not_published() -> None:
    door = Door()
    mortal(door)
    door.now += 10
    outputs = door.got(Connect("node", 360))
    assert outputs == [ToMqtt("node", MqttConnect("node", True, 360))]


def test_a_will_that_is_too_long_is_refused() -> None:
    door = Door()
    door.got(Connect("node", 360, will=True))
    door.got(WillTopic("last/node"))
    refusal = [to("here", ConnAck(ReturnCode.NOT_SUPPORTED))]
    assert door.got(WillMsg(b"x" * (WILL_BYTES_MAX + 1))) == refusal
    mortal(door)
    assert door.got(WillMsgUpd(b"x" * (WILL_BYTES_MAX + 1))) == [
        to("here", WillMsgResp(ReturnCode.NOT_SUPPORTED))
    ]


# Shares of hosts


def door_of_hosts(**changes: object) -> Door:
    """The host is what stands before the colon."""
    door = Door(**changes)
    door.table = GatewayTable(
        door.table._config, now=door.now, host_of=lambda address: address.partition(":")[0]
    )
    return door


def test_a_host_has_a_share_of_the_places() -> None:
    door = door_of_hosts(clients_per_host_max=2)
    door.connected("a", "x:1")
    door.connected("b", "x:2")
    assert door.got(Connect("c", 360), "x:3") == [to("x:3", ConnAck(ReturnCode.CONGESTION))]
    door.connected("c", "y:1")
    # It does not come by a place by taking another's client id, and who is here may move.
    assert door.got(Connect("c", 360), "x:3") == [to("x:3", ConnAck(ReturnCode.CONGESTION))]
    assert door.got(PingReq(), "y:1") == [to("y:1", PingResp())]
    assert door.got(Connect("b", 360), "x:4")[0] == to("x:2", Disconnect())
    door.got(Disconnect(), "x:1")
    door.connected("d", "x:5")


def test_hosts_are_forgotten_with_their_clients() -> None:
    door = door_of_hosts(kept_max=2)
    for number in range(20):
        door.connected(f"a{number}", f"{number}:1", clean_session=False)
        door.got(Register("a/b", 1), f"{number}:1")
        door.got(Disconnect(), f"{number}:1")
    for number in range(20):
        door.connected(f"b{number}", f"{number}:1")
        door.got(Register("a/b", 1), f"{number}:1")
        door.got(Disconnect(), f"{number}:1")
    assert len(door.table._hosts) == 2
    assert door.table._hosts.topics.used == 2 * (ENTRY_BYTES + 3)


def test_a_host_does_not_push_out_the_kept_sessions_of_others() -> None:
    door = door_of_hosts(kept_max=8)
    for number in range(30):
        door.connected(f"a{number}", "x:1", clean_session=False)
        door.got(Disconnect(), "x:1")
        if number < 6:
            door.connected(f"b{number}", f"{number}:1", clean_session=False)
            door.got(Disconnect(), f"{number}:1")
    assert all(door.table.session(f"b{number}") for number in range(6))
    assert door.table.session("a29") is not None
    assert door.table.session("a0") is None


def test_topics_of_a_client_and_of_a_host_and_of_all_are_limited_in_bytes() -> None:
    size = ENTRY_BYTES + 100
    door = door_of_hosts(
        session=SessionConfig(topic_bytes_max=400), topic_bytes_total_max=20 * size
    )

    def registered(address: str) -> int:
        """How many topics of 100 bytes get an id."""
        codes = []
        for number in range(10):
            (answer,) = door.got(Register(f"{number:100}", 1), address)
            assert isinstance(answer, Send)
            codes.append(RegAck.from_bytes(answer.datagram).return_code)
        return codes.count(ReturnCode.ACCEPTED)

    door.table._config = msgspec.structs.replace(
        door.table._config,
        session=SessionConfig(topic_bytes_max=400, spaces_in_topics=True),
    )
    counts = []
    for host in "uvwxyz":
        for port in range(2):
            door.connected(f"{host}{port}", f"{host}:{port}")
            counts.append(registered(f"{host}:{port}"))
    assert counts == [4, 1] * 4 + [0, 0] * 2
    door.got(Disconnect(), "u:0")
    assert registered("y:1") == 4


def test_filters_are_limited_in_bytes() -> None:
    door = Door(session=SessionConfig(topic_bytes_max=1000))
    door.connected()
    codes = []
    for number in range(5):
        outputs = door.got(Subscribe(f"{'x' * 300}{number}/+", number + 1, 1))
        (output,) = outputs
        if isinstance(output, ToMqtt):
            assert isinstance(output.action, MqttSubscribe)
            subscribed = MqttSubscribed(output.action.token, 1)
            (output,) = door.table.mqtt("node", subscribed, now=door.now)
        assert isinstance(output, Send)
        codes.append(SubAck.from_bytes(output.datagram).return_code)
    assert codes == [0, 0, 0, 1, 1]


# Topics that the MQTT broker does not take


def test_a_topic_with_a_space_is_not_supported() -> None:
    door = Door(session=SessionConfig(predefined={7: "my alarm", 8: "a\tb"}))
    door.connected()
    refused = ReturnCode.NOT_SUPPORTED
    assert door.got(Register("node/x/a b", 1)) == [to("here", RegAck(0, 1, refused))]
    assert door.got(Register("node/x/a\tb", 2)) == [to("here", RegAck(0, 2, refused))]
    for topic_id, kind in ((7, PREDEFINED), (8, PREDEFINED), (0x6120, SHORT)):
        publish = Publish(topic_id, b"1", 1, 5, kind)
        assert door.got(publish) == [to("here", PubAck(topic_id, 5, refused))]
    assert door.got(WillTopicUpd("a b")) == [to("here", WillTopicResp(refused))]
    door.got(Connect("other", 360, will=True), "there")
    assert door.got(WillTopic("a b"), "there") == [to("there", ConnAck(refused))]


def test_a_topic_with_a_space_is_served_where_the_broker_takes_it() -> None:
    door = Door(session=SessionConfig(spaces_in_topics=True))
    door.connected()
    assert door.got(Register("node/x/a b", 1)) == [to("here", RegAck(1, 1))]
    assert isinstance(door.got(Publish(1, b"1", 1, 2))[0], ToMqtt)


def test_qos_minus_1_with_a_space_does_not_reach_the_connection_of_all() -> None:
    packet = Publish(0x6120, b"x", -1, topic_id_type=SHORT)
    assert Door(publish_without_connection=True).got(packet) == []


@pytest.mark.parametrize("client_id", ["a.b", "a b", "*", ">", "100%", "é"])
def test_a_client_id_that_nats_does_not_take_is_escaped_there(client_id: str) -> None:
    Door().connected(client_id)
    assert not set(mqtt_client_id(client_id)) & set(".*> ")


def test_no_two_client_ids_are_one_at_the_broker() -> None:
    ids = ["a.b", "a%2Eb", "a%b", "ab", "a b", "a*b", "a>b", "a%252Eb"]
    assert len({mqtt_client_id(client_id) for client_id in ids}) == len(ids)
    assert mqtt_client_id("samr21-1_x") == "samr21-1_x"


# Deadlines


def test_a_command_without_a_known_deadline_is_kept_for_so_long() -> None:
    door = Door(command_s_max=60.0)
    door.connected()
    door.got(Disconnect(600))
    for topic, qos in (("gateway/node/led/set", 0), ("gateway/node/led/set", 1), ("news", 0)):
        message = MqttMessage(topic, b"%d" % qos, qos)
        door.table.mqtt("node", message, now=door.now)
    session = door.table.session("node")
    assert session is not None
    assert [kept.expires_at for kept in session.delivery._queue] == [1060.0, math.inf, math.inf]


def test_a_command_is_kept_until_its_deadline() -> None:
    door = Door()
    deadlines = {("gateway/node/led/set", b"1"): 1001.0}
    door.table = GatewayTable(
        QUIET, now=door.now, deadline_of=lambda *command: deadlines.get(command)
    )
    door.connected()
    door.got(Disconnect(600))
    for payload in (b"0", b"1"):
        message = MqttMessage("gateway/node/led/set", payload, 0)
        door.table.mqtt("node", message, now=door.now)
    session = door.table.session("node")
    assert session is not None
    assert [kept.expires_at for kept in session.delivery._queue] == [math.inf, 1001.0]
