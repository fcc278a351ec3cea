# SPDX-License-Identifier: BSD-3-Clause
"""Which MQTT broker Home Assistant is found at, and which nodes it has already."""

from pathlib import Path
from typing import Any

import pytest

from pyaiot.app.home_assistant import ANNOUNCED_THERE, has_it_already, home_assistant, mqtt_server
from pyaiot.broker.broker import Broker
from pyaiot.config import Config, HomeassistantSection
from pyaiot.errors import OperatorError
from pyaiot.gateways.mqtt.dialects.dialect import uid_of
from pyaiot.gateways.mqtt.dialects.homeassistant import HomeAssistantDialect
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.gateways.mqtt.shared_broker import SharedMqttBroker
from pyaiot.homeassistant.discovery import Description, config_payload
from pyaiot.homeassistant.entities import Entity
from pyaiot.homeassistant.names import Topics
from pyaiot.messages import RegisteredNode
from pyaiot.model import ResourceType
from pyaiot.mqtt.client import MqttServer


def settings(url: str, mqtt: MqttSection | None = None, **more: Any) -> Config:
    config = Config(homeassistant=HomeassistantSection(url=url, **more))
    return config if mqtt is None else config.with_sections(mqtt)


def test_a_url_names_the_mqtt_broker(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    password.chmod(0o600)
    config = settings("mqtt://ha.local:1234", user="pyaiot", password_file=str(password))
    server = mqtt_server(config, ())
    assert (server.host, server.port, server.user, server.tls) == ("ha.local", 1234, "pyaiot", None)
    assert server.password is not None
    assert server.password() == "s3cret"
    assert mqtt_server(settings("mqtt://ha.local"), ()).port == 1883
    assert mqtt_server(settings("mqtts://[::1]"), ()).port == 8883
    assert mqtt_server(settings("mqtts://[::1]"), ()).tls is not None


def test_without_a_url_it_is_the_mqtt_broker_of_this_system() -> None:
    embedded = MqttServer("127.0.0.1", 1886, "pyaiot/homeassistant")
    shared = SharedMqttBroker(MqttServer("127.0.0.1", 1886), embedded=True, home_assistant=embedded)
    assert mqtt_server(settings("on"), (object(), shared)) is embedded
    named = settings("on", MqttSection(host="mq.local", client_id="gateway"))
    server = mqtt_server(named, (SharedMqttBroker(MqttServer("mq.local", 1886), embedded=False),))
    # A second client with the id of the gateway would replace it.
    assert (server.host, server.port, server.client_id) == ("mq.local", 1886, "")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (settings("on"), "set --homeassistant to the one that Home Assistant uses"),
        (settings("http://ha.local"), "it must be 'on'"),
        (settings("mqtt://"), "it must be 'on'"),
        (settings("mqtt://ha.local/path"), "it must be 'on'"),
        (settings("mqtt://ha.local:99999"), "it must be 'on'"),
        (settings("mqtt://ha.local:0"), "it must be 'on'"),
        (settings("mqtt://[::1"), "it must be 'on'"),
        (settings("mqtt://who:s3cret@ha.local"), "set homeassistant.user and"),
        (settings("on", user="who"), "homeassistant.user is for a homeassistant.url with a host"),
        (settings("mqtt://ha", password_file="/nonexistent"), "cannot be read"),
    ],
)
def test_other_settings_are_refused_with_a_sentence(config: Config, words: str) -> None:
    with pytest.raises(OperatorError, match=words) as error:
        mqtt_server(config, ())
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "mqtt", "is_shared"),
    [
        ("on", MqttSection(host="mq.local"), True),
        ("mqtt://mq.local:1886", MqttSection(host="mq.local"), True),
        ("mqtt://mq.local:1883", MqttSection(host="mq.local"), False),
        ("mqtt://ha.local", MqttSection(), False),
    ],
)
async def test_nodes_that_home_assistant_discovers_itself_are_not_shown_twice(
    url: str, mqtt: MqttSection, is_shared: bool
) -> None:
    broker = Broker(flush_interval_s=0.02, timer=TIMER, unix_time=lambda: 0.0)
    home = home_assistant(settings(url, mqtt), broker, (), is_registry_loaded=lambda: True)
    foreign = RegisteredNode(uid=uid_of("ha", "plug"), state="online", protocol="MQTT")
    assert home._settings.not_shown(foreign) is is_shared


def test_only_foreign_mqtt_devices_are_those() -> None:
    def node(uid: str, protocol: str) -> RegisteredNode:
        return RegisteredNode(uid=uid, state="online", protocol=protocol)

    assert all(has_it_already(node(f"{prefix}x", "MQTT")) for prefix in ANNOUNCED_THERE)
    assert not has_it_already(node("ha-x", "CoAP"))
    assert not has_it_already(node("tasmota-x", "MQTT"))


def test_what_is_published_for_home_assistant_does_not_come_back() -> None:
    topics = Topics("pyaiot", "homeassistant")
    entities = {"led": Entity(ResourceType(kind="boolean", writable=True))}
    payload = config_payload(topics, "pyaiot_a", Description(name="a"), entities)
    dialect = HomeAssistantDialect()
    published = (
        (topics.config("pyaiot_a"), payload),
        (topics.status, b"online"),
        (topics.availability("pyaiot_a"), b"online"),
        (topics.state("pyaiot_a", "led"), b"ON"),
        (topics.command("pyaiot_a", "led"), b"OFF"),
        (topics.config("pyaiot_a"), b""),
    )
    for topic, message in published:
        assert not dialect.receive(topic, message, retained=False, now=0.0)
    # The same message of another program is a device.
    other = payload.replace(b'"Pyaiot"', b'"Other"')
    assert dialect.receive("homeassistant/device/other/config", other, retained=False, now=0.0)


class _Timer:
    def time(self) -> float:
        return 0.0

    def call_later(self, _delay: float, _callback: object) -> None: ...


TIMER = _Timer()
