# SPDX-License-Identifier: BSD-3-Clause
"""The broker that runs, if one does: whether all of it is well, and who is connected."""

import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from aiohttp import hdrs

from pyaiot.app.protocols import plugins
from pyaiot.client.address import BrokerAddress
from pyaiot.doctor import findings
from pyaiot.doctor.findings import Finding
from pyaiot.transport.resolver import open_http_session

ANSWER_LIMIT_S: Final = 6.0
"""`/readyz` itself waits for its parts."""


async def look(place: BrokerAddress) -> AsyncIterator[Finding]:
    """Asks over HTTP, as a client does."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    async with open_http_session(timeout=timeout) as session:
        try:
            version, date = await _health(session, place)
        except _NotOurs as error:
            do = "end that server, or name our broker with --broker-host and --broker-port"
            yield Finding("broker", "running", "wrong", str(error), do)
            return
        except (aiohttp.ClientError, OSError, TimeoutError):
            do = "`aiot run` starts one; one elsewhere is named with --broker-host"
            yield Finding("broker", "running", "note", f"none at {place.http_url}", do)
            return
        yield Finding("broker", "running", "ok", f"Pyaiot {version} at {place.http_url}")
        if date:
            yield findings.clock_of_broker(parsedate_to_datetime(date).timestamp(), time.time())
        try:
            async for finding in _parts(session, place):
                yield finding
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            says = f"stopped answering ({str(error) or type(error).__name__})"
            yield Finding("broker", "parts", "wrong", says, "look at its log")


class _NotOurs(Exception):
    """Something answers there that is no broker of ours."""


async def _health(session: aiohttp.ClientSession, place: BrokerAddress) -> tuple[str, str]:
    """Its version, and its Date header. Raises `_NotOurs`."""
    async with session.get(f"{place.http_url}/healthz") as answer:
        date = answer.headers.get(hdrs.DATE, "")
        try:
            said: Any = await answer.json(content_type=None)
            return str(said["version"])[:32], date
        except (ValueError, KeyError, TypeError) as error:
            server = answer.headers.get(hdrs.SERVER, "")
            server = f" ({server[:40]})" if server.isprintable() and server else ""
            raise _NotOurs(f"something else answers at {place.http_url}{server}") from error


async def _parts(session: aiohttp.ClientSession, place: BrokerAddress) -> AsyncIterator[Finding]:
    async with session.get(f"{place.http_url}/readyz") as answer:
        if answer.status == 401:
            do = "open the page with the link that it printed: the lights there say the same"
            yield Finding("broker", "parts", "note", "it lets nobody look without a login", do)
            return
        parts: dict[str, str] = dict((await answer.json())["parts"])
    for name, problem in parts.items():
        if problem == "ok":
            yield Finding("broker", str(name)[:32], "ok", "a round trip came back")
        else:
            do = (
                f"look at the log of `aiot {name}`"
                if "gateway" in name
                else "look at the broker's log"
            )
            yield Finding("broker", str(name)[:32], "wrong", str(problem)[:200], do)
    async with session.get(f"{place.http_url}/api/gateways") as answer:
        gateways = [str(it["name"])[:32] for it in (await answer.json())["gateways"]]
    if gateways:
        says = f"{', '.join(gateways)} connected"
        yield Finding("broker", "gateways", "ok", says)
    else:
        do = f"start one, such as `aiot {plugins()[0].command}`: nodes connect through gateways"
        yield Finding("broker", "gateways", "note", "none is connected", do)
