# SPDX-License-Identifier: BSD-3-Clause
"""The token of a WebSocket node, in the request that opens its connection."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from aiohttp import hdrs

from pyaiot.accounts.devices import DeviceStore
from pyaiot.errors import Refused
from pyaiot.gateways.websocket.settings import TOKEN_KIND

SUBPROTOCOL: Final = "token"
"""The subprotocol that the gateway selects where the token is the next one in the list."""
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")


def uid_of(headers: Mapping[str, str], store: DeviceStore) -> str:
    """The uid that a request proves; empty if it has no token. Raises `Refused` for an invalid one.

    The token is in `Authorization: Bearer TOKEN` (RFC 6750 section 2.1), or, where a browser or a
    library cannot set a header, in `Sec-WebSocket-Protocol: token, TOKEN`.
    """
    token = _token_in(headers)
    if token is None:
        return ""
    credential = None
    if _TOKEN.fullmatch(token):
        credential = store.with_secret(TOKEN_KIND, sha256(token.encode()).digest())
    if credential is None:
        raise Refused("the token is not valid")
    return credential.uid


def _token_in(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    words = [it.strip() for it in headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]
    return words[1] if words[0] == SUBPROTOCOL and len(words) > 1 else None
