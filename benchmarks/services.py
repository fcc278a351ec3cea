# SPDX-License-Identifier: BSD-3-Clause
"""The command lines of what is measured, as a user types them."""

import socket

from benchmarks.processes import Home, Server, free_port


def broker(home: Home) -> Server:
    """A broker alone."""
    port = free_port()
    return Server(
        ["-m", "pyaiot", "broker", "--web-port", str(port), "--key-file", str(home.key_file)],
        home=home,
        port=port,
    )


def everything(home: Home) -> tuple[Server, int]:
    """What `aiot run` starts, and the port of CoAP."""
    port, coap_port = free_port(), free_port(socket.SOCK_DGRAM)
    arguments = ["-m", "pyaiot", "run", "--web-port", str(port), "--coap-port", str(coap_port)]
    arguments += ["--ws-port", "0", "--mqtt-port", "0"]
    return Server(arguments, home=home, port=port), coap_port


def everything_for_websockets(home: Home) -> tuple[Server, int]:
    """The same, and the port of the WebSocket gateway."""
    port, ws_port = free_port(), free_port()
    arguments = ["-m", "pyaiot", "run", "--web-port", str(port), "--coap-port", "0"]
    arguments += ["--ws-port", str(ws_port)]
    return Server(arguments, home=home, port=port), ws_port


def plain_broker(home: Home) -> Server:
    """What fan-out is compared with."""
    port = free_port()
    return Server(["-m", "benchmarks.plain_broker", "--port", str(port)], home=home, port=port)
