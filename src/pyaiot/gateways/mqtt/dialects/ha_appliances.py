# SPDX-License-Identifier: BSD-3-Clause
"""Appliances and locks of Home Assistant as resources: climate, fan, lock and others. Pure.

Each kind of entity is one function and one line in `APPLIANCES`. Defaults are those of the
documentation of its MQTT integration.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pyaiot.errors import ProtocolError
from pyaiot.gateways.mqtt.dialects.dialect import is_number, read_json, type_of
from pyaiot.gateways.mqtt.dialects.ha_config import EntityConfig
from pyaiot.gateways.mqtt.dialects.ha_resources import (
    EntityResource,
    actions,
    command_of,
    measured,
    named,
    part,
    scalar,
    state_topic,
    templated,
    text_value,
    two_words,
    word,
    written_unit,
)
from pyaiot.gateways.mqtt.dialects.templates import NoValue, Template
from pyaiot.model import encode

_ALARM_COMMANDS: Final = ("away", "home", "night", "vacation", "custom_bypass")
_VACUUM_COMMANDS: Final = {
    "start": "start",
    "pause": "pause",
    "stop": "stop",
    "return_home": "return_to_base",
    "clean_spot": "clean_spot",
    "locate": "locate",
}
"""Features of a vacuum cleaner, and the endings of the keys and payloads of their commands."""
_VACUUM_FEATURES: Final = ("start", "stop", "return_home", "clean_spot")


def _choices(entity: EntityConfig, key: str, *default: str) -> Sequence[str]:
    """A list of words in a configuration. Raises `ProtocolError`."""
    given = entity.value(key)
    if given is None:
        return default
    if not isinstance(given, list) or not all(isinstance(it, str) for it in given):
        raise ProtocolError(f"{key} is not a list of words")
    return tuple(given)


def _some(resources: list[EntityResource]) -> list[EntityResource]:
    if not resources:
        raise ProtocolError("it has no topics that are understood")
    return resources


def _temperature(
    entity: EntityConfig, suffix: str, low: float, high: float
) -> list[EntityResource]:
    """A target temperature, in the unit of the device."""
    limits = entity.number("min_temp"), entity.number("max_temp")
    return part(
        *(entity, suffix, suffix, "number", scalar),
        unit=written_unit(_degrees(entity)),
        minimum=low if limits[0] is None else limits[0],
        maximum=high if limits[1] is None else limits[1],
        step=entity.number("temp_step") or 1,
    )


def _degrees(entity: EntityConfig) -> str:
    return "°F" if entity.text("temperature_unit").upper() == "F" else "°C"


def _power(entity: EntityConfig) -> list[EntityResource]:
    on, off = entity.text("payload_on", "ON"), entity.text("payload_off", "OFF")
    return part(entity, "power", "power", "boolean", two_words(on, off), on=on, off=off)


def _mode(entity: EntityConfig, name: str, key: str, *default: str) -> list[EntityResource]:
    return part(entity, name, name, "enum", choices=_choices(entity, key, *default))


def _humidity(entity: EntityConfig, low: float, high: float) -> list[EntityResource]:
    limits = entity.number("min_humidity"), entity.number("max_humidity")
    return part(
        *(entity, "target_humidity", "target_humidity", "number", scalar),
        unit="%RH",
        minimum=low if limits[0] is None else limits[0],
        maximum=high if limits[1] is None else limits[1],
        step=1,
    )


def _climate(entity: EntityConfig) -> list[EntityResource]:
    usual = ("auto", "off", "cool", "heat", "dry", "fan_only")
    return _some(
        [
            *_mode(entity, "mode", "modes", *usual),
            *_temperature(entity, "temperature", 7, 35),
            *_temperature(entity, "temperature_high", 7, 35),
            *_temperature(entity, "temperature_low", 7, 35),
            *_humidity(entity, 30, 99),
            *_mode(entity, "fan_mode", "fan_modes", "auto", "low", "medium", "high"),
            *_mode(entity, "swing_mode", "swing_modes", "on", "off"),
            *_mode(entity, "preset_mode", "preset_modes"),
            *_power(entity),
            *_measured_climate(entity),
            *measured(entity, "action", "action"),
        ]
    )


def _measured_climate(entity: EntityConfig) -> list[EntityResource]:
    return [
        *measured(
            *(entity, "current_temperature", "current_temperature", _degrees(entity)),
            "temperature",
        ),
        *measured(entity, "current_humidity", "current_humidity", "%", "humidity"),
    ]


def _water_heater(entity: EntityConfig) -> list[EntityResource]:
    usual = ("off", "eco", "electric", "gas", "heat_pump", "high_demand", "performance")
    is_fahrenheit = _degrees(entity) == "°F"
    return _some(
        [
            *_mode(entity, "mode", "modes", *usual),
            *_temperature(entity, "temperature", *((110, 140) if is_fahrenheit else (43, 60))),
            *_power(entity),
            *_measured_climate(entity),
        ]
    )


def _humidifier(entity: EntityConfig) -> list[EntityResource]:
    return [
        *_on_off(entity),
        *_humidity(entity, 0, 100),
        *_mode(entity, "mode", "modes"),
        *_measured_climate(entity),
        *measured(entity, "action", "action"),
    ]


def _on_off(entity: EntityConfig, template: str = "state_value_template") -> list[EntityResource]:
    """The switch of an appliance."""
    if not entity.topic("command_topic"):
        raise ProtocolError("it has no command_topic")
    on, off = entity.text("payload_on", "ON"), entity.text("payload_off", "OFF")
    kind = type_of("boolean", on=on, off=off, writable=True, **named(entity))
    write = templated(entity.command_template("command_template"))
    return [
        EntityResource(
            *("", kind, entity.topic("state_topic"), entity.template(template)),
            two_words(on, off, entity.text("state_on"), entity.text("state_off")),
            **command_of(entity, lambda text: write(encode(kind, text))),
        )
    ]


def _fan(entity: EntityConfig) -> list[EntityResource]:
    turning = [entity.text(f"payload_oscillation_{it}", f"oscillate_{it}") for it in ("on", "off")]
    fastest = entity.number("speed_range_max")
    return [
        *_on_off(entity),
        *part(
            *(entity, "percentage", "percentage", "number", scalar),
            minimum=0,
            maximum=100 if fastest is None else fastest,
            step=1,
        ),
        *_mode(entity, "preset_mode", "preset_modes"),
        *part(
            *(entity, "oscillation", "oscillation", "boolean", two_words(*turning)),
            on=turning[0],
            off=turning[1],
        ),
        *part(entity, "direction", "direction", "enum", choices=("forward", "reverse")),
    ]


def _siren(entity: EntityConfig) -> list[EntityResource]:
    (switch,) = _on_off(entity)
    if entity.value("command_template"):
        return [switch]
    kind, read = switch.type, switch.read

    def of_state(value: Any) -> Any:
        document = _document(value)
        return read(document.get("state") if isinstance(document, dict) else value)

    return [
        EntityResource(
            *("", kind, switch.state_topic, switch.template, of_state),
            # Without a template, a command is JSON.
            **command_of(entity, lambda text: json.dumps({"state": encode(kind, text)})),
        )
    ]


def _document(value: Any) -> Any:
    """The content of a state that may be JSON."""
    if not isinstance(value, str) or value[:1] != "{":
        return value
    try:
        return read_json(value.encode())
    except ProtocolError:
        return value


def _lock(entity: EntityConfig) -> list[EntityResource]:
    if not entity.topic("command_topic"):
        raise ProtocolError("it has no command_topic")
    if entity.value("code_format"):
        raise ProtocolError("locks with a code are not understood")
    on, off = entity.text("payload_lock", "LOCK"), entity.text("payload_unlock", "UNLOCK")
    kind = type_of("boolean", on=on, off=off, writable=True, **named(entity))
    states = (entity.text(f"state_{it}", it.upper()) for it in ("locked", "unlocked"))
    write = templated(entity.command_template("command_template"))
    resources = [
        EntityResource(
            *("", kind, entity.topic("state_topic"), entity.template("value_template")),
            two_words(on, off, *states),
            **command_of(entity, lambda text: write(encode(kind, text))),
        )
    ]
    if entity.text("payload_open"):
        resources.append(actions(entity, "open", [entity.text("payload_open")]))
    return resources


def _alarm(entity: EntityConfig) -> list[EntityResource]:
    state_topic(entity)
    if entity.value("code") or "code" in text_value(entity.value("command_template") or ""):
        raise ProtocolError("alarm panels with a code are not understood")
    features = _choices(entity, "supported_features", *(f"arm_{it}" for it in _ALARM_COMMANDS))
    armed = [f"arm_{it}" for it in _ALARM_COMMANDS if f"arm_{it}" in features]
    commands = [entity.text(f"payload_{it}", it.upper()) for it in ("disarm", *armed)]
    return [actions(entity, "", commands, "value_template")]


def _valve(entity: EntityConfig) -> list[EntityResource]:
    if not entity.topic("command_topic"):
        raise ProtocolError("it has no command_topic")
    if not entity.flag("reports_position"):
        words = [entity.text(f"payload_{it}", it.upper()) for it in ("open", "close")]
        words.append(entity.text("payload_stop"))
        return [actions(entity, "", words, "value_template")]
    ends = [entity.number("position_closed"), entity.number("position_open")]
    it = type_of(
        "number",
        minimum=0 if ends[0] is None else ends[0],
        maximum=100 if ends[1] is None else ends[1],
        step=1,
        writable=True,
        **named(entity),
    )

    def read(value: Any) -> Any:
        document = _document(value)
        position = document.get("position") if isinstance(document, dict) else scalar(value)
        if not is_number(position):
            raise NoValue
        return position

    write = templated(entity.command_template("command_template"))
    return [
        EntityResource(
            *("position", it, state_topic(entity), entity.template("value_template"), read),
            **command_of(entity, lambda text: write(encode(it, text))),
        )
    ]


def _update(entity: EntityConfig) -> list[EntityResource]:
    it = type_of("text", writable=False, **named(entity))

    def version(name: str, *, plain: bool) -> Callable[[Any], Any]:
        def read(value: Any) -> Any:
            document = _document(value)
            if isinstance(document, dict):
                return word(document.get(name))
            if not plain:
                raise NoValue
            return word(value)

        return read

    topic, template = state_topic(entity), entity.template("value_template")
    resources = [
        EntityResource("installed", it, topic, template, version("installed_version", plain=True)),
    ]
    latest = entity.topic("latest_version_topic")
    if latest:
        resources.append(
            EntityResource("latest", it, latest, entity.template("latest_version_template"), word)
        )
    else:
        resources.append(
            EntityResource("latest", it, topic, template, version("latest_version", plain=False))
        )
    if entity.topic("command_topic") and entity.text("payload_install"):
        resources.append(actions(entity, "install", [entity.text("payload_install")]))
    return resources


def _device_tracker(entity: EntityConfig) -> list[EntityResource]:
    home, away = entity.text("payload_home", "home"), entity.text("payload_not_home", "not_home")
    resources = []
    if entity.topic("state_topic"):
        it = type_of("text", writable=False, **named(entity))
        words = {home: "home", away: "not_home"}
        resources.append(
            EntityResource(
                *("", it, entity.topic("state_topic"), entity.template("value_template")),
                lambda value: words.get(word(value), word(value)),
            )
        )
    attributes = entity.topic("json_attributes_topic")
    if attributes:
        it = type_of("position", writable=False)

        def read(value: Any) -> Any:
            found = [value.get(key) for key in ("latitude", "longitude")]
            if not all(map(is_number, found)):
                raise NoValue
            return {"lat": found[0], "lng": found[1]}

        template = entity.template("json_attributes_template")
        resources.append(
            EntityResource(
                *("position", it, attributes),
                template if template.filters else Template(is_json=True, path=template.path),
                lambda value: read(value if isinstance(value, dict) else {}),
            )
        )
    return _some(resources)


def _event(entity: EntityConfig) -> list[EntityResource]:
    kind = type_of("enum", choices=_choices(entity, "event_types"), writable=False, **named(entity))

    def read(value: Any) -> Any:
        document = _document(value)
        event = document.get("event_type") if isinstance(document, dict) else None
        if not isinstance(event, str) or event not in kind.choices:
            raise NoValue
        return event

    return [EntityResource("", kind, state_topic(entity), entity.template("value_template"), read)]


def _vacuum(entity: EntityConfig) -> list[EntityResource]:
    features = _choices(entity, "supported_features", *_VACUUM_FEATURES)
    words = [
        entity.text(f"payload_{end}", end)
        for feature, end in _VACUUM_COMMANDS.items()
        if feature in features
    ]
    topic = entity.topic("state_topic")
    speeds = _choices(entity, "fan_speed_list")
    resources = [actions(entity, "command", words)] if entity.topic("command_topic") else []
    if topic:
        it = type_of("text", writable=False, **named(entity))
        state = Template(is_json=True, path=("state",))
        resources.insert(0, EntityResource("", it, topic, state, word))
    if entity.topic("set_fan_speed_topic"):
        kind = type_of("enum", choices=speeds, writable=True)
        resources.append(
            EntityResource(
                *("fan_speed", kind, topic, Template(is_json=True, path=("fan_speed",)), word),
                **command_of(entity, lambda text: encode(kind, text), "set_fan_speed_topic"),
            )
        )
    return _some(resources)


def _lawn_mower(entity: EntityConfig) -> list[EntityResource]:
    resources = measured(entity, "activity", "activity_state")
    if resources:
        (activity,) = resources
        template = entity.template("activity_value_template")
        resources = [
            EntityResource("", activity.type, activity.state_topic, template, activity.read)
        ]
    for name in ("start_mowing", "pause", "dock"):
        if entity.topic(f"{name}_command_topic"):
            resources.append(_one_command(entity, name))
    return _some(resources)


def _one_command(entity: EntityConfig, name: str) -> EntityResource:
    it = type_of("command", on=name, writable=True)
    write = templated(entity.command_template(f"{name}_command_template"))
    return EntityResource(
        name, it, **command_of(entity, lambda _: write(name), f"{name}_command_topic")
    )


def _scene(entity: EntityConfig) -> list[EntityResource]:
    return [_sent(entity, "command", entity.text("payload_on", "ON"))]


def _notify(entity: EntityConfig) -> list[EntityResource]:
    return [_sent(entity, "text", "")]


def _sent(entity: EntityConfig, kind: Any, payload: str) -> EntityResource:
    """Resources that can only be written."""
    if not entity.topic("command_topic"):
        raise ProtocolError("it has no command_topic")
    it = type_of(kind, writable=True, **({"on": payload} if payload else {}), **named(entity))
    write = templated(entity.command_template("command_template"))
    return EntityResource(
        "", it, **command_of(entity, lambda text: write(payload or encode(it, text)))
    )


APPLIANCES: Final[Mapping[str, Callable[[EntityConfig], list[EntityResource]]]] = {
    "alarm_control_panel": _alarm,
    "climate": _climate,
    "device_tracker": _device_tracker,
    "event": _event,
    "fan": _fan,
    "humidifier": _humidifier,
    "lawn_mower": _lawn_mower,
    "lock": _lock,
    "notify": _notify,
    "scene": _scene,
    "siren": _siren,
    "update": _update,
    "vacuum": _vacuum,
    "valve": _valve,
    "water_heater": _water_heater,
}
"""The entities of this module, by their component."""
