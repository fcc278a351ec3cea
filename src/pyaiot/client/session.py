# SPDX-License-Identifier: BSD-3-Clause
"""HTTP sessions with a broker: the sign-in link and its cookie."""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from pyaiot.client.address import BrokerAddress, BrokerAddresses
from pyaiot.client.errors import LoginNeeded, NoBroker
from pyaiot.errors import OperatorError
from pyaiot.transport.resolver import open_http_session, reason_of_tls_failure

LOGIN_LIMIT_S: Final = 10.0
"""Time for the answer to the sign-in link. Then sign-in fails."""
_TOKEN: Final = "token"  # noqa: S105 - a name
"""Name under which a token is stored, beside the names of cookies."""
COOKIES_MAX: Final = 100
"""Brokers in a cookie file. Beyond that, the oldest is removed and requires a new sign-in."""


@asynccontextmanager
async def open_session(
    address: BrokerAddress,
    *,
    login_link: str = "",
    cookie_file: Path | None = None,
    token: str = "",
    ca_file: str = "",
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with `token`, or signed in with `login_link` or what `cookie_file` has.

    Without either it is not signed in. `ca_file`: certificates that are trusted; empty: those of
    the system. Raises `OperatorError` if the link is refused.
    """
    logins = {} if cookie_file is None else _load_cookies(cookie_file)
    saved = dict(logins.get(address.http_url, {}))
    if not login_link:
        token = token or saved.pop(_TOKEN, "")
    # Accept cookies from IP addresses: a broker on loopback has no name.
    jar = aiohttp.CookieJar(unsafe=True)
    headers = {hdrs.AUTHORIZATION: f"Bearer {token}"} if token else None
    async with open_http_session(ca_file, cookie_jar=jar, headers=headers) as session:
        if login_link and not token:
            await sign_in(session, address, login_link)
            if cookie_file is not None:
                _save_cookies(cookie_file, address, session)
        elif not token:
            jar.update_cookies(saved, URL(address.http_url))
        yield session


def share_cookies(session: aiohttp.ClientSession, addresses: BrokerAddresses) -> None:
    """Use the cookies of the current broker at the others, which know the same sign-ins."""
    first = addresses.current
    found = session.cookie_jar.filter_cookies(URL(first.http_url))
    cookies = {name: morsel.value for name, morsel in found.items()}
    for address in addresses:
        if cookies and address.host != first.host:
            session.cookie_jar.update_cookies(cookies, URL(address.http_url))


async def sign_in(session: aiohttp.ClientSession, address: BrokerAddress, link: str) -> None:
    """Sign in with a link, which works once. The session then has the cookie.

    Raises `OperatorError`.
    """
    url = address.sign_in_url(link)
    timeout = aiohttp.ClientTimeout(total=LOGIN_LIMIT_S)
    try:
        async with session.post(url, allow_redirects=False, timeout=timeout) as answer:
            status = answer.status
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise no_broker(address, error) from error
    if status != 303:
        raise LoginNeeded(
            f"The sign-in link is not valid, or was used before: the broker answers {status}. It"
            " prints a new link at its start."
        )


def no_broker(address: BrokerAddress, why: object) -> NoBroker:
    """The error if no broker answers. `why` is an exception or a text."""
    reason = reason_of_failure(why) if isinstance(why, Exception) else str(why)
    if isinstance(why, Exception) and reason_of_tls_failure(why):
        return NoBroker(f"No secure connection to {address}: {reason}.")
    return NoBroker(
        f"No broker answers at {address} ({reason.rstrip('.')}). Start one with aiot run, or set"
        " its address."
    )


def reason_of_failure(error: Exception) -> str:
    """The cause of a failed connection in a few words."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "unknown host"
        case _ if reason := reason_of_tls_failure(error):
            return reason
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()
        case _:
            return str(error) or type(error).__name__


def login_needed() -> LoginNeeded:
    """The error if the broker requires a sign-in."""
    return LoginNeeded(
        "The broker requires a sign-in. Pass the link that it printed at its start with"
        " --login-link or login_link=, or set AIOT_TOKEN to a token of aiot token add."
    )


def save_token(path: Path, address: BrokerAddress, token: str) -> None:
    """Store a token for later sessions with this broker. Raises `OperatorError`."""
    _save_access(path, address, {_TOKEN: token})


def forget_access(path: Path, address: BrokerAddress) -> bool:
    """Remove what is stored for a broker. False: nothing was stored. Raises `OperatorError`."""
    was_stored = address.http_url in _load_cookies(path)
    if was_stored:
        _save_access(path, address, None)
    return was_stored


def _save_cookies(path: Path, address: BrokerAddress, session: aiohttp.ClientSession) -> None:
    cookies = session.cookie_jar.filter_cookies(URL(address.http_url))
    _save_access(path, address, {name: morsel.value for name, morsel in cookies.items()})


def _save_access(path: Path, address: BrokerAddress, access: dict[str, str] | None) -> None:
    """Replace the cookies or the token of a broker. None: remove them."""
    cookies_of = _load_cookies(path)
    cookies_of.pop(address.http_url, None)
    if access is not None:
        cookies_of[address.http_url] = access
    text = json.dumps(dict(_last(cookies_of.items(), COOKIES_MAX)), indent=1)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        # The cookie grants access: only its owner may read it.
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        beside.replace(path)
    except OSError as error:
        raise OperatorError(f"Cannot write the cookie file {path}: {error.strerror}.") from error


def _load_cookies(path: Path) -> dict[str, dict[str, str]]:
    """Cookies by URL of the broker; empty if the file cannot be read."""
    try:
        loaded = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _last(
    items: Iterable[tuple[str, dict[str, str]]], count: int
) -> list[tuple[str, dict[str, str]]]:
    return list(items)[-count:]
