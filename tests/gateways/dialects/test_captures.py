# SPDX-License-Identifier: BSD-3-Clause
"""Messages that people captured, from issue threads and documentation, typed again and shortened.

Each test names its source. Addresses are changed.
"""

from tests.gateways.dialects.reading import Reader
from tests.gateways.dialects.recordings import metric, payload, recorded


def test_generation_3_of_shelly_with_a_prefix_of_people() -> None:
    """iobroker-community-adapters/ioBroker.shelly, issue 1592: Shelly 1PM Mini Gen3."""
    identity = "shelly1pmminig3-e4b300000001"
    counts = {"on_above_thr": 0, "on_time": 241680, "switch_on": 192}
    status = {
        "id": 0,
        "source": "SHC",
        "tag": None,
        "output": False,
        "apower": 0.0,
        "voltage": 238.3,
        "freq": 50.0,
        "current": 0.0,
        "aenergy": {"total": 2690.73, "by_minute": [0.0, 0.0, 0.0], "minute_ts": 1788945300},
        "ret_aenergy": {"total": 0.0, "by_minute": [0.0, 0.0, 0.0], "minute_ts": 1788945300},
        "temperature": {"tC": 56.1, "tF": 132.9},
    }
    notification = {
        "src": identity,
        "dst": "ShellyLichtGarten/events",
        "method": "NotifyStatus",
        "params": {"ts": 1788945300.02, "switch:0": {"counts": counts}},
    }
    plug = Reader("shelly-rpc").read(
        recorded(
            ("ShellyLichtGarten/events/rpc", notification),
            ("ShellyLichtGarten/status/switch:0", status),
            ("ShellyLichtGarten/online", "true"),
        )
    )
    uid = f"shelly2-{identity}"
    assert plug.values(uid) == {
        "switch_0": False,
        "switch_0_apower": (0.0, "W"),
        "switch_0_voltage": (238.3, "V"),
        "switch_0_freq": (50.0, "Hz"),
        "switch_0_current": (0.0, "A"),
        "switch_0_aenergy": (2690.73, "Wh"),
        "switch_0_ret_aenergy": (0.0, "Wh"),
        "switch_0_temperature": (56.1, "Cel"),
        "switch_0_counts_on_above_thr": 0,
        "switch_0_counts_on_time": 241680,
        "switch_0_counts_switch_on": 192,
    }
    assert plug.online(uid) is True
    topic, call = plug.command(uid, "switch_0", "on")
    assert topic == "ShellyLichtGarten/rpc"
    assert '"Switch.Set"' in call


def test_generation_2_of_shelly() -> None:
    """iobroker-community-adapters/ioBroker.shelly, issue 438: Shelly Plus 1 PM."""
    identity = "shellyplus1pm-a80300000002"
    aenergy = {"by_minute": [0.0, 0.0, 0.0], "minute_ts": 1632666418, "total": 0.0}
    messages = recorded(
        (
            f"{identity}/events/rpc",
            {
                "src": identity,
                "dst": f"{identity}/events",
                "method": "NotifyStatus",
                "params": {"ts": 1632666420.17, "switch:0": {"id": 0, "aenergy": aenergy}},
            },
        ),
        (f"{identity}/status/input:0", {"id": 0, "state": None}),
        (f"{identity}/status/mqtt", {"connected": True}),
        (
            f"{identity}/status/switch:0",
            {
                "id": 0,
                "source": "init",
                "output": False,
                "apower": 0.0,
                "voltage": 240.873,
                "aenergy": aenergy,
                "temperature": {"tC": 46.2, "tF": 115.1},
            },
        ),
    )
    plug = Reader("shelly-rpc").read(messages)
    uid = f"shelly2-{identity}"
    assert plug.value(uid, "switch_0_voltage") == (240.873, "V")
    assert plug.value(uid, "switch_0") is False
    assert "mqtt_connected" not in plug.values(uid)
    assert plug.type(uid, "switch_0").writable


def test_thermostat_of_zigbee2mqtt_with_a_space_in_its_name() -> None:
    """KartoffelToby/better_thermostat, issue 1699: a thermostat of Eurotronic."""
    exposes = [
        {
            "type": "climate",
            "features": [
                {
                    "type": "numeric",
                    "name": "occupied_heating_setpoint",
                    "access": 7,
                    "property": "occupied_heating_setpoint",
                    "unit": "°C",
                    "value_min": 5,
                    "value_max": 30,
                    "value_step": 0.5,
                },
                {
                    "type": "numeric",
                    "name": "local_temperature",
                    "access": 5,
                    "unit": "°C",
                    "property": "local_temperature",
                },
                {
                    "type": "enum",
                    "name": "system_mode",
                    "property": "system_mode",
                    "access": 7,
                    "values": ["off", "auto", "heat"],
                },
            ],
        },
        {
            "type": "lock",
            "features": [
                {
                    "type": "binary",
                    "name": "state",
                    "property": "child_lock",
                    "access": 7,
                    "value_on": "LOCK",
                    "value_off": "UNLOCK",
                }
            ],
        },
        {
            "type": "numeric",
            "name": "battery",
            "property": "battery",
            "unit": "%",
            "access": 1,
        },
        {"type": "binary", "name": "window_open", "property": "window_open", "access": 1},
    ]
    device = {
        "ieee_address": "0x00158d0000000003",
        "friendly_name": "Thermostat Buero",
        "type": "EndDevice",
        "definition": {"model": "SPZB0001", "exposes": exposes},
    }
    state = {
        "away_preset_temperature": "5.0",
        "battery": 30,
        "calibrate": None,
        "child_lock": "UNLOCK",
        "linkquality": 53,
        "local_temperature": 21.5,
        "occupied_heating_setpoint": 5,
        "system_mode": "heat",
        "window_open": False,
        "update": {"installed_version": 2590, "latest_version": 2590, "state": "idle"},
    }
    bridge = Reader("zigbee2mqtt").read(
        recorded(
            ("zigbee2mqtt/bridge/devices", [device], True),
            ("zigbee2mqtt/Thermostat Buero", state),
        )
    )
    uid = "z2m-0x00158d0000000003"
    assert bridge.values(uid) == {
        "occupied_heating_setpoint": (5, "Cel"),
        "local_temperature": (21.5, "Cel"),
        "system_mode": "heat",
        "child_lock": "UNLOCK",
        "battery": (30, "%EL"),
        "window_open": False,
    }
    topic = "zigbee2mqtt/Thermostat Buero/set"
    assert bridge.command(uid, "occupied_heating_setpoint", "19.5") == (
        topic,
        '{"occupied_heating_setpoint": 19.5}',
    )
    assert bridge.command(uid, "child_lock", "true") == (topic, '{"child_lock": "LOCK"}')


def test_homie_device_whose_messages_are_not_retained() -> None:
    """Christian-Me/node-red-contrib-homie-convention, issue 2: mosquitto_pub by hand."""
    base = "homie/switch-controller"
    device = Reader("homie").read(
        recorded(
            (f"{base}/$homie", "4.0"),
            (f"{base}/$name", "SwitchController"),
            (f"{base}/$nodes", "switch-sensor"),
            (f"{base}/$state", "ready"),
            (f"{base}/switch-sensor/$name", "SwitchSensor1"),
            (f"{base}/switch-sensor/$properties", "sw0"),
            (f"{base}/switch-sensor/sw0", "off"),
            (f"{base}/switch-sensor/sw0/$name", "state"),
            (f"{base}/switch-sensor/sw0/$datatype", "enum"),
            (f"{base}/switch-sensor/sw0/$format", "on,off"),
        )
    )
    uid = "homie4-switch-controller"
    assert device.values(uid) == {"sw0": "off"}
    assert device.type(uid, "sw0").choices == ("on", "off")
    assert device.online(uid) is True


def test_values_of_the_past_of_a_sparkplug_device_are_not_the_newest() -> None:
    """eclipse-sparkplug/sparkplug, issue 594: metrics that were stored while it was offline."""
    node = Reader("sparkplug").read(
        recorded(
            ("spBv1.0/plant/NBIRTH/line", payload(0, metric("t", 9, 20.5))),
            (
                "spBv1.0/plant/NDATA/line",
                payload(1, metric("t", 9, 1.5, historical=True), metric("t", 9, 21.5)),
            ),
            (
                "spBv1.0/plant/NDATA/line",
                payload(2, metric("t", 9, 2.5, historical=True)),
            ),
        )
    )
    assert node.value("spb-plant.line", "t") == 21.5


def test_thermostat_whose_action_has_a_template_with_statements() -> None:
    """Koenkk/zigbee2mqtt, issue 4571: discovery of a radiator."""
    radiator = {
        "action_template": "{% set values = {'idle':'off','heat':'heating'} %}{{ values[value] }}",
        "action_topic": "zigbee/radiator",
        "current_temperature_template": "{{ value_json.local_temperature }}",
        "current_temperature_topic": "zigbee/radiator",
        "device": {"identifiers": ["radiator_1"], "name": "Radiator"},
        "max_temp": "30",
        "min_temp": "5",
        "mode_command_topic": "zigbee/radiator/set/system_mode",
        "mode_state_template": "{{ value_json.system_mode }}",
        "mode_state_topic": "zigbee/radiator",
        "modes": ["auto", "heat", "off"],
        "temp_step": 0.5,
        "temperature_command_topic": "zigbee/radiator/set/occupied_heating_setpoint",
        "temperature_state_template": "{{ value_json.occupied_heating_setpoint }}",
        "temperature_state_topic": "zigbee/radiator",
        "temperature_unit": "C",
    }
    state = {"local_temperature": 19.2, "system_mode": "heat", "occupied_heating_setpoint": 20}
    reader = Reader("homeassistant").read(
        recorded(
            ("homeassistant/climate/0x01/climate/config", radiator, True),
            ("zigbee/radiator", state),
        )
    )
    assert reader.values("ha-radiator_1") == {
        "climate_mode": "heat",
        "climate_temperature": (20, "Cel"),
        "climate_current_temperature": (19.2, "Cel"),
    }
    assert reader.command("ha-radiator_1", "climate_temperature", "21.5") == (
        "zigbee/radiator/set/occupied_heating_setpoint",
        "21.5",
    )
    (problem,) = reader.problems().items()
    assert problem[0] == "climate climate"
    assert problem[1].startswith("its action: this template is not understood")
