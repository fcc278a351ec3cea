# SPDX-License-Identifier: BSD-3-Clause
"""Who may knock: requests of pages of other origins, and of foreign names, are refused.

A browser sends `Host` and `Origin` truly; a page of another site cannot forge them. A name that
an attacker's DNS points at us (DNS rebinding) arrives as a foreign `Host`.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

_HOST: Final = re.compile(
    r"(?:\[(?P<address>[0-9A-Fa-f:.]+(?:%[0-9A-Za-z.~_-]+)?)\]|(?P<name>[0-9A-Za-z._-]+))"
    r"(?::[0-9]{0,5})?"
)
"""What a `Host` header may be here (RFC 3986 section 3.2.2): nothing before or behind the name."""


def host_is_ours(host: str, allowed_hosts: frozenset[str]) -> bool:
    """Whether a `Host` header names us: an address, localhost, or a name that was configured."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found["address"] or found["name"]).lower()
    if (":" in name) != bool(found["address"]):
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


CORS_AGE_S: Final = 600
"""How long a browser may remember what another site may do here."""
_CORS_METHODS: Final = "GET, HEAD, PUT"
_CORS_HEADERS: Final = "Content-Type, If-None-Match, Idempotency-Key, Last-Event-ID, Prefer"
_CORS_SHOWN: Final = "Content-Disposition, ETag, Location, Preference-Applied, Retry-After"
_OF_ALLOWED_SITE: Final = web.RequestKey("of_allowed_site", str)


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Let a browser show the answer to the page that asked, if its site was configured.

    A signal of the application, for each answer before it is sent (Fetch standard, section 3.2).
    Cookies are not shared: a page of another site is nobody's session.
    """
    origin = request.get(_OF_ALLOWED_SITE)
    if origin is not None:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _CORS_SHOWN
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)


def _may_ask() -> web.Response:
    """What a browser wants to know before it sends something unusual for the page."""
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _CORS_METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _CORS_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(CORS_AGE_S),
        },
    )


def check_origin(
    allowed_hosts: frozenset[str],
    allowed_origins: frozenset[str],
    refused: Callable[[web.Request], None],
    *,
    section: str,
    any_host_at: frozenset[str] = frozenset(),
) -> Middleware:
    """The middleware that holds both. Paths of `any_host_at` are for programs with a token, which
    may call this machine by any name. `refused` is called for each request that is turned away.

    `section` has the settings that name exceptions; whoever is refused is told.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            (host,) = request.headers.getall(hdrs.HOST, ("",))
            ours = host_is_ours(host, allowed_hosts)
        except ValueError:
            host, ours = "", False
        if not ours and request.path not in any_host_at:
            refused(request)
            raise web.HTTPForbidden(
                text="This name is not one of ours. Its owner can allow it by the setting"
                f" {section}.allowed_hosts.\n"
            )
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin in allowed_origins:
            request[_OF_ALLOWED_SITE] = origin
            if (
                request.method == hdrs.METH_OPTIONS
                and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
            ):
                return _may_ask()
        if not origin_is_ours(origin, host, allowed_origins):
            refused(request)
            raise web.HTTPForbidden(
                text="Pages of other origins may not do this. The owner of this site can allow one"
                f" by the setting {section}.allowed_origins.\n"
            )
        return await handler(request)

    return check
