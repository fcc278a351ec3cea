# SPDX-License-Identifier: BSD-3-Clause
"""Where the embedded MQTT broker listens."""

import socket

from pyaiot.errors import OperatorError
from pyaiot.transport.addresses import is_both_loopbacks, listening_sockets


def listening_addresses(host: str, port: int) -> tuple[str, int, socket.socket | None]:
    """Host and port for nats-server, and a socket bound to the other loopback address or None.

    nats-server listens on one address only, and `localhost` of a device may be either one. Port 0
    is any free one. Raises `OperatorError`.
    """
    try:
        first, *others = listening_sockets(host, port)
    except OSError as error:
        raise OperatorError(
            f"Cannot listen on TCP port {port} of {host} for MQTT ({error.strerror}): choose"
            " another port with --mqtt-port, or use an existing MQTT broker with --mqtt-host."
        ) from error
    address, port = first.getsockname()[:2]
    first.close()
    if is_both_loopbacks(host):
        return address, port, others[0] if others else None
    for other in others:
        other.close()
    return address, port, None
