# SPDX-License-Identifier: BSD-3-Clause
"""The commands under test, as a user enters them."""

import socket
from pathlib import Path

from benchmarks.processes import HOST, Home, Server, free_port


def broker(home: Home, *, history: bool = True) -> Server:
    """A broker with its own history."""
    port = free_port()
    return _broker(home, port, str(history_of(home, port)) if history else "off")


def broker_with_sign_in(home: Home) -> Server:
    """A broker whose clients must sign in, without history."""
    return _broker(home, free_port(), "off", "--behind-proxy")


def broker_with_home_assistant(home: Home, url: str) -> Server:
    """A broker that shows its nodes in Home Assistant, without history."""
    return _broker(home, free_port(), "off", "--homeassistant", url)


def broker_with_history(home: Home, path: Path) -> Server:
    """A broker with an existing history."""
    return _broker(home, free_port(), str(path))


def broker_with_registry(home: Home, registry: Path | str) -> Server:
    """A broker with an existing registry, or with `off`. Without history."""
    return _broker(home, free_port(), "off", "--registry", str(registry))


def _broker(home: Home, port: int, history: str, *more: str) -> Server:
    arguments = ["-m", "pyaiot", "broker", "--web-port", str(port)]
    arguments += ["--key-file", str(home.key_file), "--history", history, *more]
    return Server(arguments, home=home, port=port)


def history_of(home: Home, port: int) -> Path:
    """The history file of the service at this port."""
    return home.path / f"history-{port}.db"


def everything(home: Home) -> tuple[Server, int]:
    """`aiot run`, and its CoAP port."""
    coap_port = free_port(socket.SOCK_DGRAM)
    return _everything(home, coap_port=coap_port), coap_port


def everything_for_websockets(home: Home, *flags: str) -> tuple[Server, int]:
    """`aiot run` with these flags, and the port of its WebSocket gateway."""
    ws_port = free_port()
    return _everything(home, *flags, ws_port=ws_port), ws_port


def everything_for_mqtt(home: Home, *flags: str) -> tuple[Server, int]:
    """`aiot run` with these flags, and the port of its embedded MQTT broker."""
    mqtt_port = free_port()
    return _everything(home, *flags, mqtt_port=mqtt_port), mqtt_port


def _everything(home: Home, *flags: str, **ports: int) -> Server:
    """`aiot run` with these ports (`coap_port`, …). Other ports are chosen freely."""
    port = free_port()
    arguments = ["-m", "pyaiot", "run", "--web-port", str(port), *flags]
    for name in ("coap_port", "ws_port", "mqtt_port", "mqttsn_port"):
        arguments += ["--" + name.replace("_", "-"), str(ports.get(name, 0))]
    return Server(arguments, home=home, port=port)


def mqtt_gateway(home: Home, mqtt_port: int, broker_port: int) -> Server:
    """An MQTT gateway in its own process. It opens no port."""
    arguments = ["-m", "pyaiot", "mqtt-gateway", "--mqtt-port", str(mqtt_port)]
    arguments += ["--broker-port", str(broker_port), "--key-file", str(home.key_file)]
    return Server(arguments, home=home, port=0)


def mqttsn_gateway(home: Home, mqtt_port: int) -> tuple[Server, int]:
    """An MQTT-SN gateway in its own process, and its UDP port."""
    port = free_port(socket.SOCK_DGRAM)
    settings = home.path / "mqttsn.toml"
    # The limits of a client are not measured.
    settings.write_text(
        "[mqttsn]\npackets_per_s = 100000\nclients_per_host_max = 100000\n", encoding="utf-8"
    )
    arguments = ["-m", "pyaiot", "mqttsn-gateway", "--mqttsn-port", str(port)]
    arguments += ["--mqtt-host", HOST, "--mqtt-port", str(mqtt_port), "--config", str(settings)]
    return Server(arguments, home=home, port=0), port


def plain_broker(home: Home) -> Server:
    """The baseline of fan-out."""
    port = free_port()
    return Server(["-m", "benchmarks.plain_broker", "--port", str(port)], home=home, port=port)
