# SPDX-License-Identifier: BSD-3-Clause
"""Builds the service that shows nodes in Home Assistant, from the settings."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from pyaiot.broker.broker import Broker
from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.gateways.mqtt.plugin import PLUGIN as MQTT
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqtt.shared_broker import SharedMqttBroker, named_mqtt_broker
from pyaiot.homeassistant.address import OWN, parse_url
from pyaiot.homeassistant.service import HomeAssistant, HomeAssistantSettings
from pyaiot.messages import RegisteredNode
from pyaiot.mqtt.client import MqttServer
from pyaiot.mqtt.credentials import password_reader, tls_context


def home_assistant(
    config: Config,
    broker: Broker,
    shared: Iterable[object],
    *,
    is_registry_loaded: Callable[[], bool],
) -> HomeAssistant:
    """The service to run beside the broker. `shared`: the services of the protocols in this
    process, including the MQTT broker. Raises `OperatorError`."""
    section = config.homeassistant
    settings = HomeAssistantSettings(
        server=mqtt_server(config, shared),
        system=section.name,
        discovery_prefix=section.discovery_prefix,
        tags=section.tags,
        not_shown=has_it_already if _shares_broker(config) else lambda _node: False,
    )
    return HomeAssistant(broker, settings, is_registry_loaded=is_registry_loaded)


ANNOUNCED_THERE: Final = ("ha-", "z2m-")
"""Prefixes of the uids of foreign MQTT devices that Home Assistant discovers itself: devices with
discovery messages, and devices of Zigbee2MQTT, which publishes such messages."""


def has_it_already(node: RegisteredNode) -> bool:
    """Whether Home Assistant discovers this node itself, at the MQTT broker that both use."""
    return node.protocol == MQTT.protocol and node.uid.startswith(ANNOUNCED_THERE)


def _shares_broker(config: Config) -> bool:
    """Whether the MQTT gateway and Home Assistant use the same named MQTT broker. At the embedded
    one, Home Assistant receives no messages of devices."""
    mqtt, url = config.of(MqttSection), config.homeassistant.url
    if not mqtt.host or url == OWN:
        return bool(mqtt.host)
    there = parse_url(url)
    return (there.host, there.port) == (mqtt.host, mqtt.port)


def check_demo(config: Config) -> None:
    """Raise `OperatorError` if Home Assistant is to use the MQTT broker of a demo, which has no
    passwords."""
    if config.homeassistant.url == OWN and not config.of(MqttSection).host:
        raise OperatorError(
            "The MQTT broker of the demo has no passwords, so that Home Assistant cannot use it:"
            " set --homeassistant to another MQTT broker, mqtt://HOST:PORT, or use aiot run."
        )


def check(config: Config, *, embeds_broker: bool) -> None:
    """Raise `OperatorError` before anything starts, if nodes cannot be shown with these settings.
    `embeds_broker`: whether this process starts an MQTT broker if none is named."""
    if config.homeassistant.url == OWN and embeds_broker and not config.of(MqttSection).host:
        _check_own(config)
    else:
        mqtt_server(config, ())


def _check_own(config: Config) -> None:
    for name in ("user", "password_file", "ca_file"):
        if getattr(config.homeassistant, name):
            raise OperatorError(
                f"homeassistant.{name} is for a homeassistant.url with a host: the MQTT broker of"
                " this system has its settings in the section mqtt."
            )


def mqtt_server(config: Config, shared: Iterable[object]) -> MqttServer:
    """The MQTT broker of `homeassistant.url`. Raises `OperatorError`."""
    section = config.homeassistant
    if section.url != OWN:
        url = parse_url(section.url)
        tls = None
        if url.has_tls:
            tls = tls_context(ca_file=section.ca_file, certificate_file="", key_file="")
        password = password_reader(section.password_file)
        return MqttServer(url.host, url.port, section.user, password, tls)
    _check_own(config)
    for service in shared:
        if isinstance(service, SharedMqttBroker) and service.home_assistant is not None:
            return service.home_assistant
    mqtt = config.of(MqttSection)
    if not mqtt.host:
        raise OperatorError(
            "This process has no MQTT broker for Home Assistant: set --homeassistant to the one"
            " that Home Assistant uses, mqtt://HOST:PORT."
        )
    # A separate client id: a second client with the same id would replace the first.
    return msgspec.structs.replace(named_mqtt_broker(mqtt).server, client_id="")
