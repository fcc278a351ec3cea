# SPDX-License-Identifier: BSD-3-Clause
"""The role that each route of the broker requires. Applies where clients must sign in."""

from typing import Final, Literal, TypeAlias

from aiohttp import hdrs

Role: TypeAlias = Literal["public", "gateway", "viewer", "operator"]
"""`operator` includes `viewer`, which includes `public`. `gateway` authenticates by token."""

OPEN: Final[dict[str, Role]] = {
    "/login": "public",  # it checks the sign-in link
    "/healthz": "public",
    "/gw": "gateway",  # it checks the token
}
"""Paths that require no session."""


def role_for(method: str, path: str) -> Role:
    """The role that a request requires: by default `viewer` to read, else `operator`.

    A WebSocket client connects as a viewer; each of its commands is authorised separately.
    """
    if path in OPEN:
        return OPEN[path]
    return "viewer" if method in {hdrs.METH_GET, hdrs.METH_HEAD} else "operator"
