# SPDX-License-Identifier: BSD-3-Clause
"""Who may use which route of the broker, in one place. What is not named here is denied most.

It holds where there is a login: beyond loopback and behind a proxy.
"""

from typing import Final, Literal, TypeAlias

from aiohttp import hdrs

Role: TypeAlias = Literal["anybody", "gateway", "viewer", "operator"]
"""Each may do what the one before may, except `gateway`, which brings a token of its own."""

OPEN: Final[dict[str, Role]] = {
    "/login": "anybody",  # it checks the link
    "/healthz": "anybody",
    "/gw": "gateway",  # it checks the token
}
"""Paths that need no session."""


def role_for(method: str, path: str) -> Role:
    """The least role that may do this: without an entry, who reads is a viewer.

    A WebSocket client joins as a viewer; what it may command is decided for each command.
    """
    if path in OPEN:
        return OPEN[path]
    return "viewer" if method in {hdrs.METH_GET, hdrs.METH_HEAD} else "operator"
