# SPDX-License-Identifier: BSD-3-Clause
"""Announces the listeners of a service on the network (DNS-SD, RFC 6763), from its settings."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from pyaiot import __version__
from pyaiot.app.accounts import is_proxied
from pyaiot.app.protocols import plugins
from pyaiot.config import Config
from pyaiot.gateways.plugin import OpenGateway
from pyaiot.transport.addresses import is_loopback
from pyaiot.transport.mdns import Announcement, announce

OFF: Final = "off"
WEB_TYPE: Final = "_pyaiot._tcp"
"""The service type of the web side of a broker."""


def announce_listeners(
    config: Config,
    tasks: asyncio.TaskGroup,
    *,
    web_url: str = "",
    gateways: Iterable[OpenGateway] = (),
) -> None:
    """Announce the listeners that other machines can reach, while the task group runs."""
    found = announcements(
        config,
        web_port=urlsplit(web_url).port if web_url else None,
        ports={it.command: it.port for it in gateways},
    )
    if found:
        tasks.create_task(announce(config.mdns.name, found), name="mDNS")


def announcements(
    config: Config, *, web_port: int | None, ports: Mapping[str, int]
) -> list[Announcement]:
    """The announcements. Listeners on loopback are left out. `web_port` None: this process has no
    web side. `ports`: the ports of open gateways, by their commands."""
    if config.mdns.name == OFF:
        return []
    section = config.broker
    found = []
    if web_port is not None and not is_proxied(section) and not is_loopback(section.host):
        text = {"version": __version__, "path": "/", "tls": str(int(config.tls.covers("web")))}
        found.append(Announcement(WEB_TYPE, section.host, web_port, text))
    return [*found, *_of_gateways(config, ports)]


def _of_gateways(config: Config, ports: Mapping[str, int]) -> Iterator[Announcement]:
    for plugin in plugins():
        if plugin.command not in ports:
            continue
        has_tls = plugin.has_tls and config.tls.covers(plugin.section.table)
        service_type = plugin.tls_service_type if has_tls else plugin.service_type
        for listener in plugin.ports(config):
            if service_type and not is_loopback(listener.host):
                yield Announcement(service_type, listener.host, ports[plugin.command], {})
