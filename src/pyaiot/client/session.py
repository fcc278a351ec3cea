# SPDX-License-Identifier: BSD-3-Clause
"""HTTP sessions with a broker: the login link, and the cookie that it gives."""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from pyaiot.client.address import BrokerAddress
from pyaiot.client.errors import LoginNeeded, NoBroker
from pyaiot.errors import OperatorError
from pyaiot.transport.resolver import open_http_session

LOGIN_LIMIT_S: Final = 10.0
"""A broker that does not answer the login link within this is none."""
COOKIES_MAX: Final = 100
"""Brokers whose cookie a file keeps. One more: the oldest is forgotten, and asks for its link."""


@asynccontextmanager
async def open_session(
    place: BrokerAddress, *, login_link: str = "", cookie_file: Path | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that is let in, if a link is given or a cookie of an earlier one is kept.

    Raises `OperatorError` if the link does not work.
    """
    # Cookies of an address, too: a broker on loopback has no name.
    jar = aiohttp.CookieJar(unsafe=True)
    async with open_http_session(cookie_jar=jar) as session:
        if login_link:
            await log_in(session, place, login_link)
            if cookie_file is not None:
                _keep(cookie_file, place, session)
        elif cookie_file is not None:
            jar.update_cookies(_kept(cookie_file).get(place.http_url, {}), URL(place.http_url))
        yield session


async def log_in(session: aiohttp.ClientSession, place: BrokerAddress, link: str) -> None:
    """Open the link, which works once; the session has its cookie then. Raises `OperatorError`."""
    url = place.login_url(link)
    timeout = aiohttp.ClientTimeout(total=LOGIN_LIMIT_S)
    try:
        async with session.post(url, allow_redirects=False, timeout=timeout) as answer:
            status = answer.status
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise no_broker(place, error) from error
    if status != 303:
        raise LoginNeeded(
            f"The login link does not work (any more): the broker answers {status}; it prints a new"
            " one at its start."
        )


def no_broker(place: BrokerAddress, why: object) -> NoBroker:
    """The sentence for who finds no broker."""
    reason = why_not(why) if isinstance(why, Exception) else str(why)
    return NoBroker(
        f"No broker answers at {place} ({reason.rstrip('.')}): start one with aiot run, or say"
        " where it is."
    )


def why_not(error: Exception) -> str:
    """Why nobody answers, in few words."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "there is no such host"
        case aiohttp.ClientSSLError():
            return f"TLS: {error}"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()
        case _:
            return str(error) or type(error).__name__


def login_needed() -> LoginNeeded:
    """The sentence for who is not let in."""
    return LoginNeeded(
        "The broker lets nobody in without a login: give the link that it printed at its start,"
        " with --login-link or login_link=."
    )


def _keep(path: Path, place: BrokerAddress, session: aiohttp.ClientSession) -> None:
    cookies = session.cookie_jar.filter_cookies(URL(place.http_url))
    kept = _kept(path)
    kept.pop(place.http_url, None)
    kept[place.http_url] = {name: morsel.value for name, morsel in cookies.items()}
    text = json.dumps(dict(_last(kept.items(), COOKIES_MAX)), indent=1)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        # Who has the cookie is let in: it is for its owner alone.
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        beside.replace(path)
    except OSError as error:
        raise OperatorError(f"The login cannot be kept in {path}: {error.strerror}.") from error


def _kept(path: Path) -> dict[str, dict[str, str]]:
    """Cookies by URL of the broker. A file that cannot be read keeps none: log in again."""
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _last(
    items: Iterable[tuple[str, dict[str, str]]], count: int
) -> list[tuple[str, dict[str, str]]]:
    return list(items)[-count:]
