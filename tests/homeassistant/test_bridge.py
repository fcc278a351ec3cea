# SPDX-License-Identifier: BSD-3-Clause
"""What is published for Home Assistant, when, and what its commands become."""

import json
from typing import Any

import msgspec
import pytest

from pyaiot.errors import ProtocolError
from pyaiot.homeassistant import bridge as module
from pyaiot.homeassistant.bridge import Bridge
from pyaiot.homeassistant.discovery import components_of
from pyaiot.homeassistant.names import Topics, device_id
from pyaiot.homeassistant.node_removals import ORPHANS_AFTER_S, HomeAssistantMessage
from pyaiot.homeassistant.removals import Removals
from pyaiot.homeassistant.shown_node import ENTITIES_MAX
from pyaiot.messages import (
    Command,
    Joined,
    LastValue,
    NodeAppeared,
    NodeDescribed,
    NodeForgotten,
    NodeLeft,
    NodeReset,
    Reading,
    RegisteredNode,
    ToClient,
)
from pyaiot.model import ResourceType

TOPICS = Topics("pyaiot", "homeassistant")
CONFIG = "homeassistant/device/pyaiot_a/config"


class Home:
    """A bridge, the time, and what the MQTT broker retains."""

    def __init__(
        self, *, is_registry_loaded: bool = True, removals: Removals | None = None
    ) -> None:
        self.now = 1000.0
        self.loaded = is_registry_loaded
        self.bridge = Bridge(
            TOPICS, now=self.now, is_registry_loaded=lambda: self.loaded, removals=removals
        )
        self.retained: dict[str, bytes] = {}
        self.published: list[HomeAssistantMessage] = []

    def receive(self, *messages: ToClient) -> None:
        self.bridge.receive(messages, self.now)

    def take(self) -> list[HomeAssistantMessage]:
        """What is due now."""
        taken: list[HomeAssistantMessage] = []
        while found := self.bridge.publications_to_send(self.now, 1):
            taken += found
        for it in taken:
            if it.retain:
                self.retained[it.topic] = it.payload
        self.published += taken
        return taken

    def wait(self, seconds: float) -> list[HomeAssistantMessage]:
        """Let time pass, as the shell does: from timer to timer."""
        end = self.now + seconds
        taken = self.take()
        for _ in range(1000):
            due = self.bridge.get_timer()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            taken += self.take()
        self.now = end
        return taken + self.take()

    def config(self, topic: str = CONFIG) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(self.retained[topic])
        return config


def node(uid: str = "a", **more: Any) -> RegisteredNode:
    return RegisteredNode(uid=uid, state=more.pop("state", "online"), **more)


def reading(resource: str, data: object, uid: str = "a") -> Reading:
    return Reading.received(uid, resource, data, 1.0)


def home_with_node(*readings: Reading) -> Home:
    home = Home()
    home.receive(node(), NodeAppeared(uid="a"), *readings, Joined(nodes=1))
    home.wait(60.0)
    return home


def states(publications: list[HomeAssistantMessage]) -> list[tuple[str, bytes]]:
    return [(it.topic, it.payload) for it in publications if it.topic.count("/") == 2]


def test_a_node_is_one_device_with_an_entity_for_each_resource() -> None:
    home = home_with_node(reading("temperature", "23.5°C"), reading("led", "0"))
    config = home.config()
    assert config["dev"] == {"ids": ["pyaiot_a"], "name": "a"}
    assert config["o"]["name"] == "Pyaiot"
    assert sorted(config["cmps"]) == ["sensor.temperature", "switch.led"]
    assert home.retained["pyaiot/pyaiot"] == b"online"
    assert home.retained["pyaiot/pyaiot_a"] == b"online"


def test_what_is_retained_is_the_discovery_message_and_availability_only() -> None:
    home = home_with_node(reading("temperature", "23.5°C"))
    assert sorted(home.retained) == [CONFIG, "pyaiot/pyaiot", "pyaiot/pyaiot_a"]


def test_first_readings_that_come_one_by_one_make_one_discovery_message() -> None:
    home = Home()
    home.receive(Joined(nodes=0))
    home.receive(node(), NodeAppeared(uid="a"))
    for number in range(8):
        home.receive(reading(f"r{number}", "1"))
        home.wait(0.1)
    home.wait(60.0)
    configs = [it for it in home.published if it.topic == CONFIG]
    assert len(configs) == 1
    assert len(home.config()["cmps"]) == 8


def test_nothing_is_announced_before_the_state_of_the_broker_is_complete() -> None:
    home = Home()
    home.receive(node(), NodeAppeared(uid="a"), reading("led", "0"))
    assert [it.topic for it in home.wait(30.0)] == ["pyaiot/pyaiot"]
    home.receive(Joined(nodes=1))
    assert CONFIG in [it.topic for it in home.wait(2.0)]


def test_a_changed_state_is_published_and_an_equal_one_is_not() -> None:
    home = home_with_node(reading("temperature", "23.5°C"))
    home.receive(reading("temperature", "23.5°C"))
    assert home.wait(1.0) == []
    home.receive(reading("temperature", "23.6°C"))
    assert states(home.wait(1.0)) == [("pyaiot/pyaiot_a/temperature", b"23.6")]


def test_readings_between_two_flushes_are_conflated_to_the_latest() -> None:
    home = home_with_node(reading("temperature", "20°C"))
    home.receive(reading("temperature", "21°C"))
    assert states(home.take()) == [("pyaiot/pyaiot_a/temperature", b"21")]
    for number in range(22, 40):
        home.receive(reading("temperature", f"{number}°C"))
        assert home.take() == []
    assert states(home.wait(module.FLUSH_INTERVAL_S)) == [("pyaiot/pyaiot_a/temperature", b"39")]
    assert home.bridge.conflated == 17


def test_a_flush_that_takes_several_turns_publishes_no_resource_twice() -> None:
    home = home_with_node(*(reading(f"r{number}", "0 V") for number in range(20)))
    for number in range(20):
        home.receive(reading(f"r{number}", "1 V"))
    published = []
    while found := home.bridge.publications_to_send(home.now, 1):
        published += found
        home.receive(reading("r0", f"{len(published)} V"))
    assert len(published) == 20
    assert home.bridge.get_timer() == home.now + module.FLUSH_INTERVAL_S


def test_states_are_published_again_when_home_assistant_had_time_to_subscribe() -> None:
    home = Home()
    home.receive(node(), NodeAppeared(uid="a"), reading("led", "1"), Joined(nodes=1))
    times = []
    while home.now < 1040.0:
        times += [home.now] * len(states(home.wait(0.5)))
    assert times == [1000.5, 1002.5, 1015.5]


def test_the_birth_message_has_everything_published_again() -> None:
    home = home_with_node(reading("led", "1"))
    home.bridge.home_assistant_started(home.now)
    topics = [it.topic for it in home.wait(module.FLUSH_INTERVAL_S)]
    assert topics == [CONFIG, "pyaiot/pyaiot_a", "pyaiot/pyaiot_a/led"]


def test_many_birth_messages_publish_everything_once_in_a_while() -> None:
    home = home_with_node(reading("led", "1"))
    home.published.clear()
    for _ in range(1000):
        home.bridge.home_assistant_started(home.now)
        home.wait(0.01)
    home.wait(60.0)
    assert [it.topic for it in home.published].count(CONFIG) == 2


def test_an_offline_node_is_unavailable_and_keeps_its_entities() -> None:
    home = home_with_node(reading("led", "1"))
    home.receive(NodeLeft(uid="a", reason="silent"), node(state="offline"))
    assert home.wait(5.0) == [HomeAssistantMessage("pyaiot/pyaiot_a", b"offline", retain=True)]
    home.receive(node(), NodeAppeared(uid="a"))
    assert home.wait(5.0) == [HomeAssistantMessage("pyaiot/pyaiot_a", b"online", retain=True)]


def test_a_node_that_is_offline_from_the_start_is_announced_with_its_last_values() -> None:
    home = Home()
    values = (LastValue(resource="temperature", data="23.5°C", number=23.5, unit="Cel"),)
    home.receive(node(state="offline", values=values), Joined(nodes=0))
    home.wait(2.0)
    assert list(home.config()["cmps"]) == ["sensor.temperature"]
    assert home.retained["pyaiot/pyaiot_a"] == b"offline"


def test_a_reboot_changes_nothing() -> None:
    home = home_with_node(reading("led", "1"))
    home.receive(NodeReset(uid="a"), node(boots=1))
    assert home.wait(60.0) == []


def test_a_forgotten_node_is_removed() -> None:
    home = home_with_node(reading("led", "1"))
    home.receive(NodeForgotten(uid="a"))
    home.wait(60.0)
    assert home.retained[CONFIG] == b""
    assert home.retained["pyaiot/pyaiot_a"] == b""
    with pytest.raises(ProtocolError):
        home.bridge.receive_command("pyaiot/pyaiot_a/led/set", b"ON")


@pytest.mark.parametrize("state", ["waiting", "banned"])
def test_a_node_that_nobody_admitted_is_not_shown(state: str) -> None:
    home = Home()
    values = (LastValue(resource="led", data="0"),)
    home.receive(node(state=state, values=values), Joined(nodes=0))
    assert [it.topic for it in home.wait(60.0)] == ["pyaiot/pyaiot"]
    home = home_with_node(reading("led", "0"))
    home.receive(NodeLeft(uid="a"), node(state=state))
    home.wait(1.0)
    assert home.retained[CONFIG] == b""


def test_a_label_and_a_room_become_the_name_and_the_area() -> None:
    home = home_with_node(reading("led", "1"), reading("name", "Node A"), reading("os", "riot"))
    assert home.config()["dev"] == {"ids": ["pyaiot_a"], "name": "Node A", "sw": "riot"}
    home.receive(node(label="Lamp", room="Kitchen"))
    home.wait(5.0)
    about = home.config()["dev"]
    assert (about["name"], about["sa"]) == ("Lamp", "Kitchen")


def test_an_edit_that_home_assistant_does_not_show_publishes_nothing() -> None:
    home = home_with_node(reading("led", "1"))
    home.receive(node(notes="new batteries", tags=("lab",)))
    assert home.wait(60.0) == []


def test_a_resource_whose_first_value_was_an_exception_becomes_a_measurement() -> None:
    home = home_with_node(reading("level", "n/a"))
    assert "unit_of_meas" not in home.config()["cmps"]["sensor.level"]
    home.receive(reading("level", "12.5 V"))
    published = home.wait(5.0)
    assert home.config()["cmps"]["sensor.level"]["unit_of_meas"] == "V"
    assert ("pyaiot/pyaiot_a/level", b"12.5") in states(published)


def test_a_text_among_numbers_changes_nothing() -> None:
    home = home_with_node(reading("level", "12.5 V"))
    home.receive(reading("level", "n/a"))
    assert home.wait(60.0) == []


def described(**types: ResourceType) -> NodeDescribed:
    return NodeDescribed(uid="a", types=types)


def test_a_described_resource_is_an_entity_before_it_has_a_value() -> None:
    home = Home()
    button = ResourceType(kind="command", on="go", writable=True, source="metadata")
    home.receive(node(), described(restart=button), NodeAppeared(uid="a"), Joined(nodes=1))
    home.wait(60.0)
    assert home.config()["cmps"]["button.restart"]["pl_prs"] == "PRESS"
    command = home.bridge.receive_command("pyaiot/pyaiot_a/restart/set", b"PRESS")
    assert command.payload == "go"


def test_a_type_that_people_state_replaces_the_entity_and_its_state_is_published() -> None:
    home = home_with_node(reading("mode", "1"))
    assert list(home.config()["cmps"]) == ["sensor.mode"]
    switch = ResourceType(kind="boolean", writable=True, source="people", label="Night mode")
    home.receive(described(mode=switch))
    published = home.wait(5.0)
    assert home.config()["cmps"]["sensor.mode"] == {"p": "sensor"}
    assert home.config()["cmps"]["switch.mode"]["name"] == "Night mode"
    assert ("pyaiot/pyaiot_a/mode", b"ON") in states(published)
    home.receive(described(mode=ResourceType()))
    home.wait(5.0)
    assert home.config()["cmps"]["switch.mode"] == {"p": "switch"}
    assert home.config()["cmps"]["sensor.mode"]["name"] == "Mode"


def test_a_resource_that_is_described_no_more_and_has_no_value_is_removed() -> None:
    home = home_with_node(reading("led", "1"))
    button = ResourceType(kind="command", on="go", source="metadata")
    home.receive(described(restart=button))
    home.wait(5.0)
    home.receive(NodeDescribed(uid="a", types={}, complete=True))
    home.wait(5.0)
    assert home.config()["cmps"]["button.restart"] == {"p": "button"}
    with pytest.raises(ProtocolError):
        home.bridge.receive_command("pyaiot/pyaiot_a/restart/set", b"PRESS")


def test_a_description_of_what_is_known_publishes_nothing() -> None:
    led = ResourceType(kind="boolean", writable=True, source="metadata")
    home = home_with_node(reading("led", "1"))
    home.receive(described(led=led))
    home.wait(60.0)
    home.receive(described(led=led))
    assert home.wait(60.0) == []


def test_an_entity_that_changes_its_platform_is_removed_under_its_old_one() -> None:
    home = Home()
    home.bridge.receive_earlier("pyaiot_a", frozenset({"sensor.led"}))
    home.receive(node(), NodeAppeared(uid="a"), reading("led", "1"), Joined(nodes=1))
    home.wait(5.0)
    assert home.config()["cmps"]["sensor.led"] == {"p": "sensor"}
    assert home.config()["cmps"]["switch.led"]["p"] == "switch"


def test_the_discovery_message_of_an_earlier_run_is_removed_if_its_node_is_unknown() -> None:
    home = Home()
    home.bridge.receive_earlier("pyaiot_old", frozenset({"switch.led"}))
    home.bridge.receive_earlier("pyaiot_a", frozenset({"switch.led"}))
    home.receive(node(), NodeAppeared(uid="a"), reading("led", "1"), Joined(nodes=1))
    home.wait(ORPHANS_AFTER_S - 1.0)
    assert b"" not in home.retained.values()
    home.wait(2.0)
    gone = [topic for topic, payload in home.retained.items() if not payload]
    assert gone == ["homeassistant/device/pyaiot_old/config", "pyaiot/pyaiot_old"]
    assert home.bridge.removals.orphans == 1


def test_nothing_is_removed_before_the_registry_is_loaded() -> None:
    home = Home(is_registry_loaded=False)
    home.bridge.receive_earlier("pyaiot_old", frozenset())
    home.receive(Joined(nodes=0))
    home.wait(600.0)
    assert b"" not in home.retained.values()
    home.loaded = True
    home.wait(ORPHANS_AFTER_S)
    assert home.retained["homeassistant/device/pyaiot_old/config"] == b""


def test_after_a_restart_the_same_bytes_are_published() -> None:
    first = home_with_node(reading("led", "1"), reading("temperature", "20°C"))
    second = Home()
    components = components_of(first.retained[CONFIG])
    assert components is not None
    second.bridge.receive_earlier("pyaiot_a", components)
    messages = [reading("temperature", "20°C"), reading("led", "1")]
    second.receive(node(), NodeAppeared(uid="a"), *messages, Joined(nodes=1))
    second.wait(60.0)
    assert second.retained == first.retained


def test_a_command_is_in_the_words_of_the_device() -> None:
    home = home_with_node(reading("led", "1"))
    command = home.bridge.receive_command("pyaiot/pyaiot_a/led/set", b"OFF")
    assert command == Command(id="1", uid="a", resource="led", payload="0", timeout_s=5.0)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("pyaiot/pyaiot_b/led/set", b"ON"),
        ("pyaiot/pyaiot_a/temperature/set", b"20"),
        ("pyaiot/pyaiot_a/window/set", b"ON"),
        ("pyaiot/pyaiot_a/led/set", b"maybe"),
        ("pyaiot/pyaiot_a/led/set", b"\xff"),
        ("pyaiot/pyaiot_a/led/set", b"1" * 4097),
        ("pyaiot/pyaiot_a/led", b"ON"),
        ("pyaiot/+/#/set", b"ON"),
    ],
)
def test_a_command_that_no_entity_takes_is_refused_and_counted(topic: str, payload: bytes) -> None:
    home = home_with_node(reading("led", "1"), reading("temperature", "20°C"))
    with pytest.raises(ProtocolError):
        home.bridge.receive_command(topic, payload)
    assert home.bridge.refused == 1


def test_beyond_the_limit_nodes_are_not_shown_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "NODES_MAX", 2)
    home = Home()
    for uid in "abcd":
        home.receive(node(uid), NodeAppeared(uid=uid), reading("led", "1", uid))
    home.receive(Joined(nodes=4))
    home.wait(60.0)
    assert sorted(it for it in home.retained if it.startswith("home")) == [
        f"homeassistant/device/pyaiot_{uid}/config" for uid in "ab"
    ]
    assert home.bridge.excess == 2
    home.receive(NodeForgotten(uid="d"))
    assert home.bridge.excess == 1


def test_what_waits_is_bounded_by_the_number_of_resources() -> None:
    home = home_with_node(reading("temperature", "20°C"))
    for number in range(10_000):
        home.receive(reading("temperature", f"{number}°C"))
    assert len(states(home.wait(60.0))) <= 2


def test_publications_are_taken_in_portions() -> None:
    home = Home()
    for number in range(50):
        uid = f"n{number}"
        home.receive(node(uid), NodeAppeared(uid=uid), reading("led", "1", uid))
    home.receive(Joined(nodes=50))
    home.now += 10.0
    portion = home.bridge.publications_to_send(home.now, 2000)
    assert sum(len(it.payload) + len(it.topic) for it in portion) < 3000
    home.wait(60.0)
    assert len(home.retained) == 2 * 50 + 1 - sum(it.retain for it in portion)


def test_ids_of_different_uids_differ() -> None:
    uids = ["a b", "a_b", "a.b", "a/b", "A b", "a+b", "ä", "a__b", "_", "__"]
    assert len({device_id("pyaiot", uid) for uid in uids}) == len(uids)


def test_a_node_that_home_assistant_has_from_elsewhere_is_not_shown() -> None:
    home = Home()
    home.bridge = Bridge(TOPICS, now=home.now, not_shown=lambda record: record.uid == "a")
    for uid in "ab":
        home.receive(node(uid), NodeAppeared(uid=uid), reading("led", "1", uid))
    home.receive(Joined(nodes=2))
    home.wait(60.0)
    assert sorted(home.retained) == [
        "homeassistant/device/pyaiot_b/config",
        "pyaiot/pyaiot",
        "pyaiot/pyaiot_b",
    ]
    assert home.bridge.excess == 0


def test_beyond_the_limit_resources_of_a_node_are_not_shown() -> None:
    home = home_with_node(*(reading(f"r{number}", "1 V") for number in range(300)))
    assert len(home.config()["cmps"]) == ENTITIES_MAX


def test_new_words_of_a_device_change_no_discovery_message() -> None:
    home = home_with_node(reading("valve", "open"))
    words = ResourceType(kind="boolean", writable=True, on="open", off="shut", source="metadata")
    home.receive(described(valve=words))
    home.wait(60.0)
    assert home.bridge.receive_command("pyaiot/pyaiot_a/valve/set", b"OFF").payload == "shut"
    home.published.clear()
    home.receive(described(valve=msgspec.structs.replace(words, off="closed")))
    assert CONFIG not in [it.topic for it in home.wait(60.0)]
    assert home.bridge.receive_command("pyaiot/pyaiot_a/valve/set", b"OFF").payload == "closed"


def test_several_discovery_messages_of_a_node_do_not_multiply_its_states() -> None:
    home = home_with_node(reading("led", "1"))
    for label in ("one", "two", "three"):
        home.receive(node(label=label))
        home.wait(1.5)
    assert len(states(home.wait(60.0))) == 2


def test_a_command_that_is_too_long_is_refused() -> None:
    home = home_with_node(reading("js", "print(1)"))
    topic = "pyaiot/pyaiot_a/js/set"
    text = "x" * module.COMMAND_SIZE_MAX
    assert home.bridge.receive_command(topic, text.encode()).payload == text
    with pytest.raises(ProtocolError, match="at most 4096 bytes"):
        home.bridge.receive_command(topic, text.encode() + b"x")
