# SPDX-License-Identifier: BSD-3-Clause
"""Foreign devices as nodes of a gateway, on a clock that jumps."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from pyaiot.errors import Refused
from pyaiot.gateways.gateway import Gateway
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.gateways.mqtt import dialect_nodes, foreign_filters
from pyaiot.gateways.mqtt.base_topics import DEFAULT_TOPICS, BaseTopics
from pyaiot.gateways.mqtt.dialect_nodes import (
    RETAINED_ONLINE_S,
    UNSTATED_TIMEOUT_S,
    DialectNodes,
)
from pyaiot.gateways.mqtt.dialects import DIALECTS, new_dialects
from pyaiot.messages import NodeAppeared, NodeDescribed, NodeEvent, NodeLeft, Reading
from pyaiot.model import ResourceType
from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.mqtt.client import Freshness
from tests.gateways.dialects.recordings import (
    HOMEASSISTANT,
    HOMIE_5,
    SHELLY,
    SHELLY_RPC,
    SPARKPLUG,
    TASMOTA,
    ZIGBEE2MQTT,
    Recording,
    moved,
    recorded,
)

if TYPE_CHECKING:
    from pyaiot.gateways.mqtt.dialects.dialect import DeviceMessage


class World:
    """Dialects, and what they reported to the gateway."""

    def __init__(
        self,
        *names: str,
        check_claim: Callable[[str], None] = lambda _uid: None,
        silence_limit_s: float = 120.0,
        topics: BaseTopics = DEFAULT_TOPICS,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.live = LiveNodes(silence_limit_s=silence_limit_s, nodes_max=1000)
        self.gateway = Gateway(
            name="m", protocol="MQTT", nodes=self.live, loop=loop, unix_time=lambda: 1.7e9
        )
        self.events: list[NodeEvent] = []
        setattr(self.gateway, "_report", self.events.extend)  # noqa: B010 - before any link
        self.sent: list[DeviceMessage] = []
        self.filters: list[str] = []
        self.unsubscribed: list[str] = []
        self.nodes = DialectNodes(
            self.gateway,
            new_dialects(names or DIALECTS, lambda: 1.7e9, topics=topics),
            name="m",
            now=loop.time,
            check_claim=check_claim,
            publish=self.sent.append,
            subscribe=self.filters.extend,
            unsubscribe=self.unsubscribed.extend,
        )

    def receive(self, messages: Recording) -> "World":
        self.nodes.receive(
            [
                (topic, payload, Freshness.RETAINED if retained else Freshness.LIVE)
                for topic, payload, retained in messages
            ]
        )
        return self

    def online(self) -> list[str]:
        uids: dict[str, None] = {}
        for event in self.events:
            if isinstance(event, NodeAppeared):
                uids[event.uid] = None
            elif isinstance(event, NodeLeft):
                uids.pop(event.uid, None)
        return list(uids)

    def reading(self, uid: str, resource: str) -> Reading | None:
        found: Iterable[Reading] = (
            it
            for it in reversed(self.events)
            if isinstance(it, Reading) and (it.uid, it.resource) == (uid, resource)
        )
        return next(iter(found), None)

    def data(self, uid: str, resource: str) -> object:
        reading = self.reading(uid, resource)
        return None if reading is None else reading.data

    def expire(self) -> None:
        now = asyncio.get_running_loop().time()
        self.events += self.live.handle_timer(now=now, ts=0.0)


async def test_devices_of_all_dialects_are_nodes_with_units() -> None:
    world = World()
    for recording in (TASMOTA, ZIGBEE2MQTT, SHELLY, HOMIE_5, SPARKPLUG, HOMEASSISTANT):
        world.receive(recording)
    assert set(world.online()) == {
        *("tasmota-plug-1", "z2m-0x00158d0001a2b3c4", "z2m-0x0017880102030405"),
        *("shelly-shellyplug-s-7AB312", "homie5-blind-1", "spb-plant.line-1"),
        *("spb-plant.line-1.pump", "ha-garden-0042", "ha-fan-7"),
    }
    reading = world.reading("tasmota-plug-1", "energy_power")
    assert reading is not None
    assert (reading.data, reading.number, reading.unit) == (42, 42.0, "W")
    assert world.data("tasmota-plug-1", "name") == "Desk plug"
    assert world.data("tasmota-plug-1", "dialect") == "Tasmota"
    assert world.data("tasmota-plug-1", "protocol") == "MQTT"


async def test_unit_that_must_be_converted_is() -> None:
    sensor = {"BME280": {"Temperature": 70.7}, "TempUnit": "F"}
    world = World().receive(recorded(("tele/p/SENSOR", sensor)))
    reading = world.reading("tasmota-p", "bme280_temperature")
    assert reading is not None
    assert (reading.data, reading.unit) == ("70.7°F", "Cel")
    assert reading.number == pytest.approx(21.5)


async def test_retained_value_is_no_sign_of_life_and_has_no_time() -> None:
    world = World().receive(recorded(("tele/p/STATE", {"POWER": "ON"}, True)))
    assert world.online() == []
    world.receive(recorded(("tele/p/LWT", "Online")))
    assert world.online() == ["tasmota-p"]
    reading = world.reading("tasmota-p", "power")
    assert reading is not None
    assert (reading.data, reading.retained, reading.ts) == ("ON", True, 0.0)
    world.receive(recorded(("tele/p/STATE", {"POWER": "OFF"})))
    world.receive(recorded(("tele/p/STATE", {"POWER": "ON"}, True)))
    assert world.data("tasmota-p", "power") == "OFF"


async def test_last_will_puts_a_node_offline_at_once_and_a_value_online_again() -> None:
    world = World().receive(TASMOTA)
    world.receive(recorded(("tele/plug-1/LWT", "Offline")))
    assert world.online() == []
    world.receive(recorded(("tele/plug-1/STATE", {"POWER": "ON"})))
    assert world.online() == ["tasmota-plug-1"]
    assert world.data("tasmota-plug-1", "name") == "Desk plug"


async def test_device_with_availability_stays_online_and_others_for_an_hour() -> None:
    world = World()
    world.receive(recorded(("tele/p/LWT", "Online")))
    world.receive(recorded(("shellies/s/relay/0", "on")))
    world.receive(recorded(("tele/q/LWT", "Online", True)))
    await asyncio.sleep(UNSTATED_TIMEOUT_S - 1.0)
    world.expire()
    assert len(world.online()) == 3
    await asyncio.sleep(121.0)
    world.expire()
    assert world.online() == ["tasmota-p", "tasmota-q"]
    await asyncio.sleep(RETAINED_ONLINE_S)
    world.expire()
    assert world.online() == ["tasmota-p"]


async def test_after_a_reconnect_availability_that_is_not_retained_expires() -> None:
    world = World().receive(SPARKPLUG)
    world.nodes.connected()
    await asyncio.sleep(RETAINED_ONLINE_S + 121.0)
    world.expire()
    assert world.online() == []


async def test_uid_belongs_to_the_first_dialect_that_names_it() -> None:
    world = World()
    world.receive(recorded(("tele/p/LWT", "Online")))
    other = new_dialects(["tasmota"], lambda: 0.0)[0]
    with pytest.raises(Refused, match="dialect tasmota"):
        world.nodes._claim("tasmota-p", other)


async def test_uid_that_a_foreign_device_may_not_have_is_refused() -> None:
    def check(uid: str) -> None:
        raise Refused(f"the node {uid} has a credential")

    world = World(check_claim=check).receive(TASMOTA)
    assert world.online() == []
    assert world.nodes.not_understood > 0
    assert not world.nodes.owns("tasmota-plug-1")


async def test_message_of_no_dialect_is_counted_as_ignored() -> None:
    world = World().receive(recorded(("a/b/online", "1"), ("c/status/d", "1", True)))
    assert world.gateway.rejections.ignored == 1
    assert world.nodes.not_understood == 0


async def test_message_that_cannot_be_read_is_counted_and_no_other_is_lost() -> None:
    world = World()
    world.receive(recorded(("tele/p/STATE", "{"), ("tele/p/STATE", {"POWER": "ON"})))
    assert world.nodes.not_understood == 1
    assert world.data("tasmota-p", "power") == "ON"


async def test_topics_that_devices_name_are_subscribed_by_their_first_level() -> None:
    world = World().receive(HOMEASSISTANT)
    assert world.filters == ["garden/#", "fan-7/#"]
    assert set(world.filters) < set(world.nodes.filters)
    assert world.nodes.covers("garden/other")
    assert world.nodes.covers("x/online")
    assert not world.nodes.covers("elsewhere/x")


async def test_devices_add_a_limited_number_of_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_filters, "FILTERS_MAX", 3)
    world = World()
    for number in range(5):
        config = {"stat_t": f"t{number}/s", "dev": {"ids": f"d{number}"}}
        world.receive(recorded((f"homeassistant/sensor/x{number}/config", config)))
    assert world.filters == ["t0/#", "t1/#", "t2/#"]
    assert world.nodes.not_understood == 2


async def test_flood_of_values_of_one_device_is_limited() -> None:
    world = World()
    for _ in range(200):
        world.receive(recorded(("tele/p/STATE", {"POWER": "ON"})))
    readings = [it for it in world.events if isinstance(it, Reading) and it.resource == "power"]
    assert len(readings) == 100
    assert world.nodes.not_understood == 100


async def test_removed_device_leaves() -> None:
    world = World().receive(ZIGBEE2MQTT)
    world.receive(recorded(("zigbee2mqtt/bridge/devices", [])))
    assert world.online() == []
    assert not world.nodes.owns("z2m-0x00158d0001a2b3c4")


async def test_command_is_a_message_of_the_dialect() -> None:
    world = World().receive(TASMOTA)
    assert world.nodes.command("tasmota-plug-1", "power", "ON") == (
        *("cmnd/plug-1/POWER", b"ON", 0, False),
    )


async def test_types_are_described_to_the_broker() -> None:
    world = World().receive(ZIGBEE2MQTT)
    described = [
        it
        for it in world.events
        if isinstance(it, NodeDescribed) and it.uid == "z2m-0x0017880102030405"
    ]
    brightness = described[-1].types["brightness"]
    assert (brightness.kind, brightness.maximum, brightness.source) == ("number", 254, "metadata")


async def test_resource_that_a_description_has_no_longer_loses_its_type() -> None:
    world = World().receive(HOMEASSISTANT)
    world.receive(recorded(("homeassistant/switch/garden/valve/config", "")))
    described = [
        it for it in world.events if isinstance(it, NodeDescribed) and it.uid == "ha-garden-0042"
    ]
    assert described[-1].types == {"valve": ResourceType()}


async def test_error_of_a_dialect_does_not_end_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World("tasmota")

    def fail(*_: object, **_more: object) -> None:
        raise TypeError("unhashable")

    monkeypatch.setattr(world.nodes._dialects[-1], "receive", fail)
    world.receive(recorded(("tele/p/LWT", "Online")))
    assert world.nodes.not_understood == 1


async def test_saved_mapping_makes_nodes_without_a_restart_until_it_is_removed() -> None:
    world = World("tasmota")
    message = recorded(("farm/barn/temperature", "4.5"))
    world.receive(message)
    assert world.online() == []
    assert not world.nodes.covers("farm/barn/temperature")

    mapping = TopicMapping(topic="farm/{node}/{resource}", units={"temperature": "°C"})
    world.nodes.map_topics([mapping])
    assert world.filters == ["farm/+/+"]
    assert world.nodes.covers("farm/barn/temperature")
    world.receive(message)
    reading = world.reading("map-barn", "temperature")
    assert reading is not None
    assert (reading.number, reading.unit) == (4.5, "Cel")

    world.nodes.map_topics([mapping])
    assert world.online() == ["map-barn"]  # nothing changed

    world.nodes.map_topics([])
    assert world.online() == []
    assert world.unsubscribed == ["farm/+/+"]
    assert not world.nodes.covers("farm/barn/temperature")
    world.receive(message)
    assert world.online() == []


async def test_node_of_a_changed_mapping_returns_with_its_next_message() -> None:
    world = World("tasmota")
    world.nodes.map_topics([TopicMapping(topic="farm/{node}/{resource}")])
    world.receive(recorded(("farm/barn/t", "4.5")))
    world.nodes.map_topics([TopicMapping(topic="farm/{node}/{resource}", units={"t": "°C"})])
    assert world.online() == []
    assert world.unsubscribed == []  # the topics are the same
    world.receive(recorded(("farm/barn/t", "5")))
    reading = world.reading("map-barn", "t")
    assert reading is not None
    assert (reading.number, reading.unit) == (5, "Cel")


async def test_saved_mapping_that_this_version_refuses_is_counted_and_left_out() -> None:
    world = World("tasmota")
    world.nodes.map_topics([TopicMapping(topic="a/b"), TopicMapping(topic="c/{node}/{resource}")])
    assert world.filters == ["c/+/+"]
    assert world.nodes.not_understood == 1


async def test_error_of_a_shelly_refuses_the_command_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World().receive(SHELLY_RPC)
    refused: list[tuple[str, ...]] = []
    monkeypatch.setattr(world.gateway, "command_refused", lambda *it: refused.append(it))
    uid = "shelly2-shellyplusplugs-a8032abe54dc"
    call = json.loads(world.nodes.command(uid, "switch_0", "on").payload)
    error = {"code": -103, "message": "no"}
    answer = {"id": call["id"], "src": "shellyplusplugs-a8032abe54dc", "error": error}
    world.receive(recorded((f"{call['src']}/rpc", answer)))
    assert refused == [(uid, "switch_0", "on", "the device answers with the error -103: no")]


async def test_one_refused_device_of_a_list_does_not_stop_the_others() -> None:
    def check(uid: str) -> None:
        if uid == "z2m-0x00158d0001a2b3c4":
            raise Refused("it has a credential")

    world = World("zigbee2mqtt", check_claim=check).receive(ZIGBEE2MQTT)
    assert world.online() == ["z2m-0x0017880102030405"]
    assert world.data("z2m-0x0017880102030405", "state") == "OFF"


async def test_list_of_another_bridge_removes_no_device_of_this_one() -> None:
    world = World(topics=DEFAULT_TOPICS._replace(zigbee2mqtt=("zigbee2mqtt", "other")))
    world.receive(ZIGBEE2MQTT)
    before = world.online()
    assert len(before) == 2
    world.receive(moved(ZIGBEE2MQTT, "zigbee2mqtt", "other"))
    world.receive(recorded(("other/bridge/devices", [], True)))
    assert world.online() == before


async def test_what_is_not_understood_is_logged_once_in_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def check(uid: str) -> None:
        raise Refused(f"the node {uid} has a credential")

    world = World("tasmota", check_claim=check)
    for number in range(100):
        world.receive(recorded(("tele/plug-1/SENSOR", {"x": number})))
        await asyncio.sleep(30.0)
    assert world.nodes.not_understood >= 100
    assert caplog.text.count("tasmota-plug-1 was not understood") == 1
    await asyncio.sleep(3600.0)
    world.receive(recorded(("tele/plug-1/SENSOR", {"x": 1})))
    assert caplog.text.count("tasmota-plug-1 was not understood") == 2


async def test_the_memory_of_what_was_logged_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect_nodes, "LOGGED_MAX", 3)
    world = World("tasmota")
    for number in range(10):
        world.receive(recorded((f"tele/plug-{number}/SENSOR", "[")))
    assert world.nodes.not_understood == 10
    assert len(world.nodes._logged) == 3
