# SPDX-License-Identifier: BSD-3-Clause
"""Tells browsers that came over TLS not to come without it (RFC 6797)."""

from typing import Final

from aiohttp import web

HSTS_AGE_S: Final = 30 * 86_400
"""How long a browser that came over TLS refuses to come to this host name without TLS. It holds for
all ports of the name, and browsers ignore it for addresses and for certificates they do not
trust."""
_HEADER: Final = "Strict-Transport-Security"


async def add_hsts_header(request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler that runs before each response is sent."""
    if request.secure:
        response.headers.setdefault(_HEADER, f"max-age={HSTS_AGE_S}")
