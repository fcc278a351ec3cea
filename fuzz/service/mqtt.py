# SPDX-License-Identifier: BSD-3-Clause
"""The listeners of MQTT and MQTT-SN."""

from typing import Final

from fuzz.service.listener import Listener, corpus, on
from fuzz.service.sockets import HONEST_HOST, Connections, Datagrams, honest_tcp, udp

MQTT: Final = [
    bytes.fromhex(text.replace(" ", ""))
    for text in (
        "100d 0004 4d515454 04 02 003c 0001 61",
        "100d 0004 4d515454 04 02 003c 0001 61 8208 0001 0003 612f62 01 3007 0003 612f62 3131",
        "100d 0004 4d515454 04 02 003c 0001 61 3209 0003 612f62 0001 3131 c000 e000",
        "101c 0004 4d515454 04 c6 003c 0001 61 0001 77 0001 6d 0001 75 0001 70",
        "1010 0004 4d515454 05 02 003c 03 210014 0001 61",
    )
]


def good_mqtt(port: int) -> None:
    with honest_tcp(port) as tcp:
        tcp.sendall(bytes.fromhex("1012 0004 4d515454 04 02 003c 0006") + b"honest")
        assert tcp.recv(4)[:1] == b"\x20"
        tcp.sendall(b"\xc0\x00")
        assert tcp.recv(2) == b"\xd0\x00"


def good_mqttsn(port: int) -> None:
    with udp(port, HONEST_HOST) as node:
        node.send(b"\x0c\x04\x04\x01\x00\x3chonest")
        while node.recv(2048)[:3] != b"\x03\x05\x00":
            continue
        node.send(b"\x02\x18")


MQTT_BROKER: Final = Listener(
    "mqtt", MQTT, lambda it, _: Connections(it.ports["mqtt"]), on(good_mqtt, "mqtt")
)
MQTTSN: Final = Listener(
    "mqttsn",
    corpus("mqttsn_packets"),
    lambda it, _: Datagrams(it.ports["mqttsn"]),
    on(good_mqttsn, "mqttsn"),
)
