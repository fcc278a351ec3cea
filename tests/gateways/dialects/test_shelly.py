# SPDX-License-Identifier: BSD-3-Clause
"""Shelly devices of both kinds, from what their documentation shows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import CommandRefused
from pyaiot.gateways.mqtt.dialects.shelly_rpc import CALLS_MAX, ShellyRpcDialect
from tests.gateways.dialects.reading import Reader
from tests.gateways.dialects.recordings import SHELLY, SHELLY_RPC, recorded

PLUG = "shelly-shellyplug-s-7AB312"
PLUS = "shelly2-shellyplusplugs-a8032abe54dc"


def test_plug_of_the_first_generation_has_a_relay_and_measures() -> None:
    plug = Reader("shelly").read(SHELLY)
    assert plug.values(PLUG) == {
        "relay_0": "off",
        "relay_0_power": (13.5, "W"),
        "relay_0_energy": (10.0, "Wh"),
        "temperature": (28.4, "Cel"),
        "overtemperature": 0,
    }
    assert plug.command(PLUG, "relay_0", "1") == (
        "shellies/shellyplug-s-7AB312/relay/0/command",
        "on",
    )
    assert plug.dialect.describe(PLUG).details["board"] == "SHPLG-S"


def test_device_of_the_first_generation_is_requested_to_send_all_once() -> None:
    messages = SHELLY[2:4]
    plug = Reader("shelly").read(messages)
    topic = "shellies/shellyplug-s-7AB312/command"
    assert plug.messages() == [(topic, b"announce"), (topic, b"update")]


def labels(reader: Reader, uid: str) -> dict[str, str]:
    return {name: it.label for name, it in reader.dialect.describe(uid).types.items() if it.label}


def test_labels_are_plain_words_with_the_number_of_a_channel_if_there_are_several() -> None:
    plug = Reader("shelly").read(SHELLY)
    assert labels(plug, PLUG) == {
        "relay_0": "Switch",
        "relay_0_power": "Power",
        "relay_0_energy": "Energy",
        "temperature": "Temperature",
        "overtemperature": "Overtemperature",
    }
    again = [it for it in SHELLY if it[0].endswith(("relay/0", "power"))]
    plug.events.clear()
    assert plug.read(again).uids() == set()  # nothing changed
    plug.read(recorded(("shellies/shellyplug-s-7AB312/relay/1", "on")))
    assert labels(plug, PLUG) | {"relay_1": "Switch 1", "relay_0": "Switch 0"} == labels(plug, PLUG)
    assert plug.type(PLUG, "relay_0_power").label == "Power 0"

    name = "shellyplus2pm-aabbcc"
    meter = {"id": 0, "output": True, "apower": 4.5, "voltage": 230.1, "current": 0.1}
    status = {**meter, "aenergy": {"total": 3.2}, "temperature": {"tC": 40.0, "tF": 104.0}}
    plus = Reader("shelly-rpc").read(recorded((f"{name}/status/switch:0", status)))
    uid = f"shelly2-{name}"
    assert labels(plus, uid) == {
        "switch_0": "Switch",
        "switch_0_apower": "Power",
        "switch_0_voltage": "Voltage",
        "switch_0_current": "Current",
        "switch_0_aenergy": "Energy",
        "switch_0_temperature": "Device temperature",
    }
    for number in (1, 2):
        plus.read(recorded((f"{name}/status/switch:{number}", {**status, "id": number})))
    assert plus.type(uid, "switch_0_apower").label == "Power 0"
    assert plus.type(uid, "switch_1_aenergy").label == "Energy 1"
    assert plus.type(uid, "switch_2").label == "Switch 2"
    phases = {"a_voltage": 230.0, "b_act_power": 12.0, "total_act_power": 36.0, "odd": 1}
    plus.read(recorded((f"{name}/status/em:0", phases)))
    assert [plus.type(uid, f"em_0_{it}").label for it in phases] == [
        *("Voltage A", "Power B", "Total power", ""),
    ]


def test_roller_is_moved_to_a_position() -> None:
    roller = Reader("shelly").read(
        recorded(
            ("shellies/shellyswitch25-1/roller/0", "stop"),
            ("shellies/shellyswitch25-1/roller/0/pos", "40"),
        )
    )
    uid = "shelly-shellyswitch25-1"
    topic = "shellies/shellyswitch25-1/roller/0/command"
    assert roller.command(uid, "roller_0", "Open") == (topic, "open")
    assert roller.command(uid, "roller_0_pos", "55") == (f"{topic}/pos", "55")
    roller.read(recorded(("shellies/shellyswitch25-1/roller/0/pos", "-1")))
    assert roller.value(uid, "roller_0_pos") == 40


def test_light_of_the_first_generation_is_dimmed() -> None:
    light = Reader("shelly").read(
        recorded(
            ("shellies/shellydimmer-1/light/0", "on"),
            ("shellies/shellydimmer-1/light/0/status", {"ison": True, "brightness": 30}),
        )
    )
    uid = "shelly-shellydimmer-1"
    assert light.command(uid, "light_0_brightness", "80") == (
        "shellies/shellydimmer-1/light/0/set",
        '{"brightness": 80}',
    )
    assert light.command(uid, "light_0", "off")[1] == "off"


def test_online_topic_puts_a_device_offline() -> None:
    plug = Reader("shelly").read(SHELLY)
    plug.read(recorded(("shellies/shellyplug-s-7AB312/online", "false")))
    assert plug.online(PLUG) is False
    plus = Reader("shelly-rpc").read(SHELLY_RPC)
    assert plus.online(PLUS) is True
    plus.read(recorded(("shellyplusplugs-a8032abe54dc/online", "false")))
    assert plus.online(PLUS) is False


def test_plug_of_the_second_generation_has_a_switch_and_measures() -> None:
    plug = Reader("shelly-rpc").read(SHELLY_RPC)
    assert plug.values(PLUS) == {
        "switch_0": True,
        "switch_0_apower": (8.9, "W"),
        "switch_0_voltage": (237.5, "V"),
        "switch_0_current": (0.04, "A"),
        "switch_0_aenergy": (6.532, "Wh"),
        "switch_0_temperature": (23.5, "Cel"),
        "sys_uptime": (284, "s"),
        "wifi_sta_ip": "192.168.1.42",
        "wifi_rssi": (-61, "dBm"),
    }
    assert plug.dialect.describe(PLUS).details == {
        "name": "Coffee machine",
        "vendor": "Shelly",
        "board": "PlusPlugS",
        "version": "1.0.8",
    }


def test_second_generation_gets_two_calls_at_first() -> None:
    plug = Reader("shelly-rpc").read(SHELLY_RPC)
    assert [json.loads(payload)["method"] for _, payload in plug.messages()] == [
        "Shelly.GetDeviceInfo",
        "Shelly.GetStatus",
    ]
    assert {topic for topic, _ in plug.messages()} == {"shellyplusplugs-a8032abe54dc/rpc"}


def test_switch_light_and_cover_are_called() -> None:
    plug = Reader("shelly-rpc").read(SHELLY_RPC)
    status = {
        "light:0": {"output": False, "brightness": 10},
        "cover:1": {"state": "open", "current_pos": 90},
    }
    params = {"src": "shellyplusplugs-a8032abe54dc", "method": "NotifyStatus", "params": status}
    plug.read(recorded(("shellyplusplugs-a8032abe54dc/events/rpc", params)))

    def called(resource: str, text: str) -> tuple[str, object]:
        topic, payload = plug.command(PLUS, resource, text)
        assert topic == "shellyplusplugs-a8032abe54dc/rpc"
        request = json.loads(payload)
        assert request["src"] == "pyaiot/shelly/shellyplusplugs-a8032abe54dc"
        return request["method"], request["params"]

    assert called("switch_0", "off") == ("Switch.Set", {"id": 0, "on": False})
    assert called("light_0", "1") == ("Light.Set", {"id": 0, "on": True})
    assert called("light_0_brightness", "75") == ("Light.Set", {"id": 0, "brightness": 75})
    assert called("cover_1", "close") == ("Cover.Close", {"id": 1})
    assert called("cover_1_position", "20") == ("Cover.GoToPosition", {"id": 1, "pos": 20})


def test_device_with_a_prefix_of_its_own_is_known_by_its_notifications() -> None:
    message = json.loads(SHELLY_RPC[1][1])
    plug = Reader("shelly-rpc").read(recorded(("kitchen/events/rpc", message)))
    assert plug.uids() == {PLUS}
    assert plug.command(PLUS, "switch_0", "on")[0] == "kitchen/rpc"
    plug.read(recorded(("kitchen/online", "false")))
    assert plug.online(PLUS) is False


@pytest.mark.parametrize(
    "topic", ["kitchen/online", "kitchen/status/switch:0", "x/y", "shelly-xyz/online"]
)
def test_topic_of_something_else_is_left_to_other_dialects(topic: str) -> None:
    dialect = Reader("shelly-rpc").dialect
    assert dialect.receive(topic, b"true", retained=False, now=0.0) is None


@pytest.mark.parametrize(
    ("name", "topic", "payload"),
    [
        ("shelly", "shellies/x/relay/0", b"maybe"),
        ("shelly", "shellies/x/relay/99", b"on"),
        ("shelly", "shellies/x/online", b"1"),
        ("shelly", "shellies/announce", b'{"id":"a/b"}'),
        ("shelly", "shellies/x/light/0/status", b"[1]"),
        ("shelly", "shellies/" + 200 * "x" + "/relay/0", b"on"),
        ("shelly-rpc", "shellyplus1-a8032abe54dc/online", b"perhaps"),
        ("shelly-rpc", "shellyplus1-a8032abe54dc/status/switch:0", b"[]"),
        ("shelly-rpc", "x/events/rpc", b"{"),
    ],
)
def test_what_is_no_message_of_a_shelly_is_refused(name: str, topic: str, payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader(name).dialect.receive(topic, payload, retained=False, now=0.0)


def test_answer_in_the_name_of_an_unknown_device_is_ignored() -> None:
    answer = {"src": "shellyplus1-000000", "result": {"switch:0": {"output": True}}}
    topic = "pyaiot/shelly/shellyplus1-000000/rpc"
    assert Reader("shelly-rpc").read(recorded((topic, answer))).events == []


def test_answer_on_the_topic_of_another_device_is_refused() -> None:
    plug = Reader("shelly-rpc").read(SHELLY_RPC)
    answer = {"src": "shellyplusplugs-a8032abe54dc", "result": {"switch:0": {"output": True}}}
    (message,) = recorded(("pyaiot/shelly/shellyplus1-000000/rpc", answer))
    with pytest.raises(ProtocolError, match="another device"):
        plug.dialect.receive(message[0], message[1], retained=False, now=0.0)


ANSWERS = "pyaiot/shelly/shellyplusplugs-a8032abe54dc/rpc"


def refusals(plug: Reader, *answers: dict[str, object]) -> list[CommandRefused]:
    """What the plug refuses with these answers."""
    source = {"src": "shellyplusplugs-a8032abe54dc"}
    plug.events.clear()
    plug.read(recorded(*((ANSWERS, {**source, **answer}) for answer in answers)))
    return [it for it in plug.events if isinstance(it, CommandRefused)]


def number_of_call(plug: Reader, text: str) -> int:
    number = json.loads(plug.command(PLUS, "switch_0", text)[1])["id"]
    assert isinstance(number, int)
    return number


def test_error_of_a_call_refuses_the_command_that_made_it_once() -> None:
    plug = Reader("shelly-rpc").read(SHELLY_RPC)
    on, off = number_of_call(plug, "1"), number_of_call(plug, "off")
    error = {"code": -103, "message": "Invalid\nargument 'on'!"}
    answer = {"id": off, "error": error}
    why = "the device answers with the error -103: Invalidargument 'on'!"
    assert refusals(plug, answer, answer) == [CommandRefused(PLUS, "switch_0", "off", why)]
    assert refusals(plug, {"id": on, "result": {"was_on": False}}, {"id": on, "error": error}) == []


@pytest.mark.parametrize("error", [{}, {"code": "x", "message": 5}, {"code": 10**7}])
def test_error_without_a_message_refuses_too(error: dict[str, object]) -> None:
    plug = Reader("shelly-rpc").read(SHELLY_RPC)
    (refused,) = refusals(plug, {"id": number_of_call(plug, "on"), "error": error})
    assert refused.why == "the device answers with the error"


@pytest.mark.parametrize("number", [1, 999, None, "2", [2], 2.0])
def test_error_that_is_not_of_a_command_refuses_nothing(number: object) -> None:
    plug = Reader("shelly-rpc").read(SHELLY_RPC)
    number_of_call(plug, "on")
    assert refusals(plug, {"id": number, "error": {"code": -1, "message": "no"}}) == []


def test_errors_of_older_calls_refuse_nothing() -> None:
    plug = Reader("shelly-rpc").read(SHELLY_RPC)
    first, second, *_ = [number_of_call(plug, "on") for _ in range(CALLS_MAX + 1)]
    assert refusals(plug, {"id": first, "error": {}}) == []
    assert len(refusals(plug, {"id": second, "error": {}})) == 1


_NAMES = st.sampled_from(["id", "output", "apower", "tC", "total", "ts", "aenergy"])
_STATUS = st.dictionaries(
    st.sampled_from(["switch:0", "temperature:0", "sys", "ble", "ts", "no component"]),
    st.integers(0, 9)
    | st.dictionaries(
        _NAMES,
        st.none()
        | st.booleans()
        | st.integers(-5, 5)
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(_NAMES, st.integers(0, 3) | st.text(max_size=2), max_size=2),
        max_size=3,
    ),
    max_size=3,
)


@given(messages=st.lists(_STATUS, min_size=2, max_size=5))
def test_status_that_is_known_has_the_values_of_a_status_that_is_read_anew(
    messages: list[dict[str, Any]],
) -> None:
    remembers, forgets = ShellyRpcDialect(), ShellyRpcDialect()
    source = PLUS.removeprefix("shelly2-")
    for status in messages:
        for device in forgets._devices.values():
            device.forget_names()
        notification = {"src": source, "method": "NotifyStatus", "params": status}
        events = [
            it.receive(
                *(f"{source}/events/rpc", json.dumps(notification).encode()),
                retained=False,
                now=0.0,
            )
            for it in (remembers, forgets)
        ]
        assert events[0] == events[1]
