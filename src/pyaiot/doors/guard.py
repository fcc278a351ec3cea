# SPDX-License-Identifier: BSD-3-Clause
"""Who may knock: requests of pages of other origins, and of foreign names, are refused.

A browser sends `Host` and `Origin` truly; a page of another site cannot forge them. A name that
an attacker's DNS points at us (DNS rebinding) arrives as a foreign `Host`.
"""

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware


def host_is_ours(host: str, allowed_hosts: frozenset[str]) -> bool:
    """Whether a `Host` header names us: an address, localhost, or a name that was configured."""
    name = urlsplit(f"//{host}").hostname if host else None
    if not name:
        return False
    if name == "localhost" or name.endswith(".localhost") or name in allowed_hosts:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def origin_is_ours(origin: str | None, host: str, allowed_origins: frozenset[str]) -> bool:
    """Whether an `Origin` header is this very site, or one that was configured.

    Programs send none. Only the scheme may differ: behind a TLS proxy we do not know ours.
    """
    if origin is None or origin in allowed_origins:
        return True
    scheme, _, authority = origin.partition("://")
    return scheme in {"http", "https"} and authority == host


def guard(
    allowed_hosts: frozenset[str],
    allowed_origins: frozenset[str],
    refused: Callable[[web.Request], None],
    *,
    section: str,
) -> Middleware:
    """The middleware that holds both. `refused` is called for each request that is turned away.

    `section` has the settings that name exceptions; whoever is refused is told.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            host = request.headers.getone(hdrs.HOST, "")
            ours = host_is_ours(host, allowed_hosts)
        except ValueError:
            ours = False
        if not ours:
            refused(request)
            raise web.HTTPForbidden(
                text="This name is not one of ours. Its owner can allow it by the setting"
                f" {section}.allowed_hosts.\n"
            )
        if not origin_is_ours(request.headers.get(hdrs.ORIGIN), host, allowed_origins):
            refused(request)
            raise web.HTTPForbidden(
                text="Pages of other origins may not do this. The owner of this site can allow one"
                f" by the setting {section}.allowed_origins.\n"
            )
        return await handler(request)

    return check
