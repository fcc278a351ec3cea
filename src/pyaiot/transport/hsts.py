# SPDX-License-Identifier: BSD-3-Clause
"""Strict-Transport-Security: a browser that used TLS once connects only over TLS (RFC 6797)."""

from typing import Final

from aiohttp import web

HSTS_AGE_S: Final = 30 * 86_400
"""How long a browser that connected over TLS refuses to connect to this host name without it. This
applies to all ports of the name. Browsers ignore the header for IP addresses and for certificates
that they do not trust."""
_HEADER: Final = "Strict-Transport-Security"


async def add_hsts_header(request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler that runs before each response is sent."""
    if request.secure:
        response.headers.setdefault(_HEADER, f"max-age={HSTS_AGE_S}")
