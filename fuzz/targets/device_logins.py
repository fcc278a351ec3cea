# SPDX-License-Identifier: BSD-3-Clause
"""Fuzz the requests of nats-server about MQTT clients, and the tokens of WebSocket nodes."""

import base64

from pyaiot.accounts.devices import DeviceStore
from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.websocket.tokens import uid_of
from pyaiot.mqtt.embedded.login_tokens import TokenIssuer, read_request

_REQUEST = (
    b'{"nats":{"server_id":{"id":"N"},"user_nkey":"U","client_info":{"host":"::1","mqtt_id":"lamp"'
    b'},"connect_opts":{"user":"lamp","pass":"secret"}}}'
)
CORPUS: list[bytes] = [
    _REQUEST,
    b"Bearer 0123456789abcdef0123456789abcdef",
    b"token, 0123456789abcdef",
]
_ISSUER = TokenIssuer()
_STORE = DeviceStore(None)


def fuzz_one(data: bytes) -> None:
    """Invalid bytes raise one error, and no header without a stored token proves a uid."""
    for token in (data, b"h." + base64.urlsafe_b64encode(data).rstrip(b"=") + b".s"):
        try:
            request = read_request(token)
        except ProtocolError:
            continue
        assert _ISSUER.refuse(request, "no", now=1.0).count(b".") == 2
    text = data.decode("latin-1")
    for header in ("Authorization", "Sec-WebSocket-Protocol"):
        try:
            assert uid_of({header: text}, _STORE) == ""
        except Refused:
            continue
