# SPDX-License-Identifier: BSD-3-Clause
"""Which listeners are announced on the network, and with which addresses."""

import asyncio
import ipaddress
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot import config
from pyaiot.app.announced import announcements
from pyaiot.app.protocols import plugins
from pyaiot.transport import mdns
from pyaiot.transport.mdns import LABEL_LENGTH_MAX, Announcement, addresses_of, host_label

PORTS = {plugin.command: 1000 + number for number, plugin in enumerate(plugins())}
OPEN = {"broker.host": "::", "coap.host": "::", "mqtt.listen": "::", "websocket.host": "::"}


def types(**flags: object) -> list[str]:
    named = {name.replace("__", "."): value for name, value in flags.items()}
    settings, _ = config.load(None, {}, named)
    return [it.type for it in announcements(settings, web_port=8000, ports=PORTS)]


def test_only_listeners_that_the_network_reaches_are_announced() -> None:
    assert types() == []
    assert types(**{"coap.host": "::"}) == ["_coap._udp"]
    assert types(**OPEN) == ["_pyaiot._tcp", "_coap._udp", "_mqtt._tcp"]
    assert types(**OPEN, **{"mdns.name": "off"}) == []


def test_web_side_behind_a_proxy_is_not_announced() -> None:
    for proxied in ({"broker.behind_proxy": True}, {"broker.trusted_proxies": "192.0.2.1"}):
        assert "_pyaiot._tcp" not in types(**OPEN, **proxied)


def test_named_mqtt_broker_of_somebody_else_is_not_announced() -> None:
    assert "_mqtt._tcp" not in types(**OPEN, **{"mqtt.host": "mqtt.example.org"})


def test_tls_has_a_type_of_its_own_and_a_mark() -> None:
    settings, _ = config.load(None, {}, {**OPEN, "tls.cert_file": "c.pem"})
    found = {it.type: it for it in announcements(settings, web_port=8000, ports=PORTS)}
    assert "_secure-mqtt._tcp" in found
    assert found["_pyaiot._tcp"].text["tls"] == "1"


def test_ports_are_those_that_are_open() -> None:
    settings, _ = config.load(None, {}, OPEN)
    found = {it.type: it.port for it in announcements(settings, web_port=81, ports=PORTS)}
    assert found == {
        "_pyaiot._tcp": 81,
        "_coap._udp": PORTS["coap-gateway"],
        "_mqtt._tcp": PORTS["mqtt-gateway"],
    }


@given(st.text(max_size=100))
def test_any_host_name_has_a_label_that_is_valid_in_dns(name: str) -> None:
    label = host_label(name)
    assert 0 < len(label) <= LABEL_LENGTH_MAX
    assert label.isascii()
    assert not label.startswith("-")
    assert not label.endswith("-")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Lab-Pi", "lab-pi"),
        ("pi.example.org", "pi"),
        ("localhost", "pyaiot"),
        ("", "pyaiot"),
        ("my_board", "my-board"),
    ],
)
def test_label_of_a_name(name: str, label: str) -> None:
    assert host_label(name) == label


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("::", ["192.0.2.7", "2001:db8::7"]),
        ("0.0.0.0", ["192.0.2.7"]),
        ("192.0.2.7", ["192.0.2.7"]),
        ("a.example.org", []),
    ],
)
def test_addresses_are_those_that_are_listened_on(host: str, expected: list[str]) -> None:
    found = addresses_of(Announcement("_x._tcp", host, 1, {}), ["192.0.2.7", "2001:db8::7"])
    assert [str(ipaddress.ip_address(it)) for it in found] == expected


async def test_failure_is_logged_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = 0
    enough = asyncio.Event()

    def fails(*_arguments: Any, **_more: Any) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            enough.set()
        raise OSError(19, "No such device")

    monkeypatch.setattr(mdns, "_announced", fails)
    caplog.set_level(logging.WARNING)
    item = Announcement("_x._tcp", "::", 1, {})
    task = asyncio.create_task(mdns.announce("a", [item], addresses=lambda: ["192.0.2.7"]))
    await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [it.getMessage() for it in caplog.records] == [
        "not announced on the network: No such device"
    ]
