# SPDX-License-Identifier: BSD-3-Clause
"""Announces services on the local network: mDNS (RFC 6762) and DNS-SD (RFC 6763).

`zeroconf` speaks the protocol. It is imported on a thread, when it is needed.
"""

import asyncio
import contextlib
import ipaddress
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final

import msgspec

from pyaiot.errors import reason_of
from pyaiot.transport.addresses import ANY, interface_addresses

CHECK_INTERVAL_S: Final = 30.0
"""Interval between checks of the addresses of this machine. When they change, it is announced
again.
"""
GOODBYE_LIMIT_S: Final = 0.5
"""How long it may take to announce that the services end."""
LABEL_LENGTH_MAX: Final = 63
"""Longest name, in characters. A longer one is cut."""
_FALLBACK: Final = "pyaiot"

log = logging.getLogger(__name__)


class Announcement(msgspec.Struct, frozen=True):
    """One service."""

    type: str
    """`_coap._udp`."""
    host: str
    """The address that it listens on; `::` and `0.0.0.0` are all of this machine."""
    port: int
    text: Mapping[str, str]
    """The TXT record."""


def host_label(name: str) -> str:
    """The first label of a host name in a form that is valid in DNS."""
    label = re.sub(r"[^a-z0-9-]+", "-", name.partition(".")[0].lower()).strip("-")
    label = label[:LABEL_LENGTH_MAX].rstrip("-")
    return label if label and label != "localhost" else _FALLBACK


def addresses_of(announcement: Announcement, own: Sequence[str]) -> list[bytes]:
    """The addresses at which a service is reached, in binary form. `own`: those of this machine."""
    listed = own if announcement.host in ("", *ANY) else [announcement.host]
    found = []
    for address in listed:
        with contextlib.suppress(ValueError):  # the setting has a name: it is not announced
            parsed = ipaddress.ip_address(address)
            if announcement.host != ANY[1] or parsed.version == 4:
                found.append(parsed.packed)
    return found


async def announce(
    name: str,
    announced: Sequence[Announcement],
    *,
    addresses: Callable[[], list[str]] = interface_addresses,
) -> None:
    """Announce services as `NAME.local` until cancelled. `name` empty: that of this machine.

    Nothing else depends on it: errors go to the log, and it is tried again.
    """
    if not announced:
        return
    label = host_label(name or socket.gethostname())
    problem = ""
    while True:
        own = addresses()
        try:
            async with _announced(label, announced, own):
                if own:
                    types = ", ".join(dict.fromkeys(it.type for it in announced))
                    log.info("announced on the network as %s.local: %s", label, types)
                    problem = ""
                while addresses() == own:  # noqa: ASYNC110 - the system sends no notification
                    await asyncio.sleep(CHECK_INTERVAL_S)
        except OSError as error:
            if reason_of(error) != problem:
                problem = reason_of(error)
                log.warning("not announced on the network: %s", problem)
            await asyncio.sleep(CHECK_INTERVAL_S)


@asynccontextmanager
async def _announced(
    label: str, announced: Sequence[Announcement], own: Sequence[str]
) -> AsyncIterator[None]:
    if not own:
        yield
        return
    zeroconf: Any = await asyncio.to_thread(import_module, "zeroconf")
    asynchronous: Any = await asyncio.to_thread(import_module, "zeroconf.asyncio")
    speaker = asynchronous.AsyncZeroconf(interfaces=list(own), ip_version=_versions(zeroconf, own))
    try:
        infos = [
            zeroconf.ServiceInfo(
                f"{item.type}.local.",
                f"{label}.{item.type}.local.",
                addresses=found,
                port=item.port,
                properties=dict(item.text),
                server=f"{label}.local.",
            )
            for item in announced
            if (found := addresses_of(item, own))
        ]
        # Another system may have the name: this one gets a number behind it.
        await asyncio.gather(
            *(speaker.async_register_service(info, allow_name_change=True) for info in infos)
        )
        yield
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_LIMIT_S):
                await speaker.async_unregister_all_services()
        await speaker.async_close()


def _versions(zeroconf: Any, own: Sequence[str]) -> Any:
    versions = {ipaddress.ip_address(address).version for address in own}
    if versions == {4}:
        return zeroconf.IPVersion.V4Only
    return zeroconf.IPVersion.V6Only if versions == {6} else zeroconf.IPVersion.All
