# SPDX-License-Identifier: BSD-3-Clause
"""Refuses requests from pages of other origins, and requests for other host names.

A page of another site cannot forge the `Host` and `Origin` that a browser sends. A name that an
attacker's DNS resolves to this machine (DNS rebinding) arrives in `Host`.
"""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

_HOST: Final = re.compile(
    r"(?:\[(?P<address>[0-9A-Fa-f:.]+(?:%[0-9A-Za-z.~_-]+)?)\]|(?P<name>[0-9A-Za-z._-]+))"
    r"(?::[0-9]{0,5})?"
)
"""A valid `Host` header (RFC 3986 section 3.2.2)."""
_ADDRESS_LENGTH_MAX: Final = 64
"""Characters of an IPv6 address with its zone, which is the name of an interface."""
ADDRESSES_CACHED_MAX: Final = 256
"""Names in `Host` headers of which the broker remembers whether they are addresses. Of more, the
longest unused one is checked again."""


def is_allowed_host(host: str, allowed_hosts: frozenset[str]) -> bool:
    """Whether a `Host` header names this server: an address, localhost, or an allowed name."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found["address"] or found["name"]).lower()
    if (":" in name) != bool(found["address"]):
        return False
    if name == "localhost" or name.endswith(".localhost") or name in allowed_hosts:
        return True
    return len(name) <= _ADDRESS_LENGTH_MAX and _is_address(name)


@lru_cache(maxsize=ADDRESSES_CACHED_MAX)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def is_allowed_origin(
    origin: str | None, host: str, allowed_origins: frozenset[str], *, secure: bool = False
) -> bool:
    """Whether an `Origin` header is that of this server, or an allowed origin.

    Programs send none. `secure`: the client uses TLS, so that the scheme must be `https`. Otherwise
    it may be either, because a proxy that provides TLS may be in front.
    """
    if origin is None or origin in allowed_origins:
        return True
    scheme, _, authority = origin.partition("://")
    if scheme not in ({"https"} if secure else {"http", "https"}):
        return False
    # Browsers omit the default port (Fetch standard), and some proxies add it to `Host`.
    return authority == host or authority == host.removesuffix(_DEFAULT_PORTS[scheme])


CORS_AGE_S: Final = 600
"""How long a browser may cache the answer to a preflight request."""
_CORS_METHODS: Final = "DELETE, GET, HEAD, PATCH, POST, PUT"
_CORS_HEADERS: Final = (
    "Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, Prefer"
)
_CORS_EXPOSED: Final = "Content-Disposition, ETag, Location, Preference-Applied, Retry-After"
_ALLOWED_ORIGIN: Final = web.RequestKey("allowed_origin", str)


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Let pages of allowed origins read the response (Fetch standard, section 3.2).

    A signal handler that runs before each response is sent. Credentials are not allowed: a page of
    another site never uses a session.
    """
    origin = request.get(_ALLOWED_ORIGIN)
    if origin is not None:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _CORS_EXPOSED
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)


def _preflight_response() -> web.Response:
    """The methods and headers that pages of allowed origins may use."""
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
    """A middleware that answers 403 for other host names and origins.

    `refused` is called for each such request. `section`: the settings section with the exceptions,
    which the response names. `any_host_at`: paths that accept any `Host`, because their clients
    authenticate by token.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            (host,) = request.headers.getall(hdrs.HOST, ("",))
            if host:
                host = request.host  # a trusted proxy may have forwarded another one
            allowed = is_allowed_host(host, allowed_hosts)
        except ValueError:
            host, allowed = "", False
        if not allowed and request.path not in any_host_at:
            refused(request)
            raise web.HTTPForbidden(
                text="This host name is not allowed. The operator can allow it with the setting"
                f" {section}.allowed_hosts.\n"
            )
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin in allowed_origins:
            request[_ALLOWED_ORIGIN] = origin
            if (
                request.method == hdrs.METH_OPTIONS
                and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
            ):
                return _preflight_response()
        if not is_allowed_origin(origin, host, allowed_origins, secure=request.secure):
            refused(request)
            raise web.HTTPForbidden(
                text="This origin is not allowed. The operator can allow it with the setting"
                f" {section}.allowed_origins.\n"
            )
        return await handler(request)

    return check
