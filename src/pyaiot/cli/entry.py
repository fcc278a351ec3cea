# SPDX-License-Identifier: BSD-3-Clause
"""Where the commands begin: before anything else is imported, which takes half a second.

Who presses Ctrl+C in that time is not shown our insides, but the exit code that shells give.
"""

import sys
from typing import Final

EXIT_INTERRUPTED: Final = 130
"""128 and the number of SIGINT."""


def main() -> None:
    """`aiot`."""
    _start("main")


def broker_main() -> None:
    """`aiot-broker`."""
    _start("broker_main")


def coap_gateway_main() -> None:
    """`aiot-coap-gateway`."""
    _start("coap_gateway_main")


def ws_gateway_main() -> None:
    """`aiot-ws-gateway`."""
    _start("ws_gateway_main")


def mqtt_gateway_main() -> None:
    """`aiot-mqtt-gateway`."""
    _start("mqtt_gateway_main")


def mqttsn_gateway_main() -> None:
    """`aiot-mqttsn-gateway`."""
    _start("mqttsn_gateway_main")


def dashboard_main() -> None:
    """`aiot-dashboard`."""
    _start("dashboard_main")


def generate_keys_main() -> None:
    """`aiot-generate-keys`."""
    _start("generate_keys_main")


def _start(name: str) -> None:
    try:
        from pyaiot.cli import app  # noqa: PLC0415 - see above

        getattr(app, name)()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
