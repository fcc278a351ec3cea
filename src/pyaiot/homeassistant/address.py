# SPDX-License-Identifier: BSD-3-Clause
"""The setting `homeassistant.url`: the MQTT broker that Home Assistant uses. Pure."""

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from pyaiot.errors import OperatorError

OWN: Final = "on"
"""The MQTT broker of this system: the embedded one, or the one that `mqtt.host` names."""
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class BrokerUrl(NamedTuple):
    """The address of an MQTT broker."""

    host: str
    port: int
    has_tls: bool


def parse_url(text: str) -> BrokerUrl:
    """Parse `mqtt://HOST[:PORT]`, or `mqtts://` for TLS. Raises `OperatorError`."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise OperatorError(_problem(text)) from error
    if parts.username is not None or parts.password is not None:
        raise OperatorError(
            "homeassistant.url has a user name or password in it: set homeassistant.user and"
            " homeassistant.password_file instead, so that the password is not visible."
        )
    rest = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in _PORTS or not host or rest or port == 0:
        raise OperatorError(_problem(text))
    return BrokerUrl(host, port or _PORTS[parts.scheme], parts.scheme == "mqtts")


def _problem(text: str) -> str:
    return (
        f"homeassistant.url is {text!r:.60}, but it must be {OWN!r} for the MQTT broker of this"
        " system, or mqtt://HOST:PORT, or mqtts://HOST:PORT with TLS."
    )
