# SPDX-License-Identifier: BSD-3-Clause
"""Groups of settings: listeners that are open to the network, and free ports."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from pyaiot.app.protocols import plugins
from pyaiot.config import Config, SettingFlag
from pyaiot.transport.addresses import LOOPBACK

EVERY_ADDRESS: Final = "::"
"""Listens on every address of IPv6 and IPv4."""
WEB_HOST: Final = "broker.host"


def listen_settings(protocols: Collection[str] | None = None) -> dict[str, object]:
    """Settings that open the listeners of the named protocols, or of all, to the network."""
    return {
        plugin.listen_setting: EVERY_ADDRESS
        for plugin in plugins()
        if plugin.listen_setting and (protocols is None or plugin.section.table in protocols)
    }


def lan_settings(config: Config, origins: Mapping[str, str]) -> dict[str, object]:
    """The settings of `--lan`: every listener is open to the network, and people sign in. Explicit
    settings stay unchanged. `origins`: see `config.load`."""
    wanted = {WEB_HOST: EVERY_ADDRESS, **listen_settings()}
    section = config.broker
    if not (config.tls.covers("web") or section.behind_proxy or section.trusted_proxies):
        wanted["broker.insecure"] = True
    return {key: value for key, value in wanted.items() if origins[key] == "default"}


def demo_settings(origins: Mapping[str, str]) -> dict[str, object]:
    """The settings that `aiot demo` takes from no file: it listens on this machine only. Flags have
    priority, so that a flag that opens a listener is refused with a sentence."""
    wanted = {
        WEB_HOST: LOOPBACK[0],
        "broker.behind_proxy": False,
        "broker.trusted_proxies": (),
        **dict.fromkeys(listen_settings(), LOOPBACK[0]),
    }
    return {key: value for key, value in wanted.items() if origins[key] not in ("default", "flag")}


def free_ports(config: Config, flags: Iterable[SettingFlag]) -> dict[str, object]:
    """Settings with which every listener uses a free port. `flags`: of `aiot demo`."""
    key_of = {name: flag.key for flag in flags for name in flag.names}
    used = [port.flag for plugin in plugins() for port in plugin.ports(config)]
    return dict.fromkeys((key_of[flag] for flag in ("--web-port", *used)), 0)
