# SPDX-License-Identifier: BSD-3-Clause
"""Checks of a running broker: its parts, its clock and its gateways."""

import ssl
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
from pyaiot.transport.resolver import open_http_session, reason_of_tls_failure

ANSWER_LIMIT_S: Final = 6.0
"""How long the broker may take to answer. `/readyz` itself waits for its parts."""


async def check(
    address: BrokerAddress, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Finding]:
    """Query the broker over HTTP, as a client does. `trust` None: use the CA certificates of the
    system."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    async with open_http_session(trust=trust, timeout=timeout) as session:
        try:
            version, date = await _health(session, address)
        except _OtherServer as error:
            action = "stop that server, or set --broker-host and --broker-port"
            yield Finding("broker", "running", "wrong", str(error), action)
            return
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if reason := reason_of_tls_failure(error):
                text, _, action = reason.partition(": ")
                text = f"{address.http_url}: {text}"
                yield Finding("broker", "running", "wrong", text, action or "correct the address")
                return
            action = "start one with `aiot run`, or set --broker-host if it runs elsewhere"
            yield Finding("broker", "running", "note", f"no broker at {address.http_url}", action)
            return
        yield Finding("broker", "running", "ok", f"Pyaiot {version} at {address.http_url}")
        if date:
            yield findings.clock_of_broker(parsedate_to_datetime(date).timestamp(), time.time())
        try:
            async for finding in _parts(session, address):
                yield finding
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            text = f"stopped answering ({str(error) or type(error).__name__})"
            yield Finding("broker", "parts", "wrong", text, "check its log")


class _OtherServer(Exception):
    """The server at the address is not a broker of Pyaiot."""


async def _health(session: aiohttp.ClientSession, address: BrokerAddress) -> tuple[str, str]:
    """The version of the broker and its Date header. Raises `_OtherServer`."""
    async with session.get(f"{address.http_url}/healthz") as answer:
        date = answer.headers.get(hdrs.DATE, "")
        try:
            health: Any = await answer.json(content_type=None)
            return str(health["version"])[:32], date
        except (ValueError, KeyError, TypeError) as error:
            server = answer.headers.get(hdrs.SERVER, "")
            server = f" ({server[:40]})" if server.isprintable() and server else ""
            raise _OtherServer(f"another server answers at {address.http_url}{server}") from error


async def _parts(session: aiohttp.ClientSession, address: BrokerAddress) -> AsyncIterator[Finding]:
    async with session.get(f"{address.http_url}/readyz") as answer:
        if answer.status == 401:
            action = "open the dashboard with the sign-in link of the broker: it shows their state"
            yield Finding("broker", "parts", "note", "unknown: the broker needs a sign-in", action)
            return
        parts: dict[str, str] = dict((await answer.json())["parts"])
    for name, problem in parts.items():
        if problem == "ok":
            yield Finding("broker", str(name)[:32], "ok", "answers")
        else:
            log = f"the log of `aiot {name}`" if "gateway" in name else "the log of the broker"
            yield Finding("broker", str(name)[:32], "wrong", str(problem)[:200], f"check {log}")
    async for finding in _cluster(session, address):
        yield finding
    async with session.get(f"{address.http_url}/api/gateways") as answer:
        found: list[dict[str, Any]] = (await answer.json())["gateways"]
    gateways = sorted(str(it["name"])[:32] for it in found)
    if gateways:
        text = f"{', '.join(gateways)} connected"
        yield Finding("broker", "gateways", "ok", text)
        for gateway in found:
            if gateway.get("refused"):
                text = f"{gateway['refused']} clients refused, the last: {gateway['refusal']}"
                action = "change that in the settings of the device"
                yield Finding("broker", str(gateway["name"])[:32], "note", text, action)
    else:
        action = f"start one, such as `aiot {plugins()[0].command}`: nodes connect through gateways"
        yield Finding("broker", "gateways", "note", "none connected", action)


async def _cluster(
    session: aiohttp.ClientSession, address: BrokerAddress
) -> AsyncIterator[Finding]:
    """The findings about a cluster; none if the broker is not in a cluster."""
    async with session.get(f"{address.http_url}/api/cluster") as answer:
        if answer.status != 200:
            return  # an earlier version
        found: dict[str, Any] = await answer.json()
    if not found["in_cluster"]:
        return
    problem = str(found["problem"])[:200]
    yield findings.nats_connection(connected=bool(found["connected"]), problem=problem)
    peers = {str(it["name"])[:64]: it for it in found["peers"]}
    lost = [name for name, it in peers.items() if it["state"] == "lost"]
    unlike = [name for name, it in peers.items() if it["state"] == "incompatible"]
    present = [name for name in peers if name not in lost + unlike]
    yield findings.reachable(lost, present)
    if unlike:
        yield findings.incompatible(
            str(found["version"])[:32], {name: str(peers[name]["version"])[:32] for name in unlike}
        )
    if present:
        ahead_s = {name: float(peers[name].get("ahead_s", 0)) for name in present}
        yield findings.clocks({name: by for name, by in ahead_s.items() if by})
        others = {name: str(peers[name]["version"])[:32] for name in present}
        yield findings.versions(str(found["version"])[:32], others)
