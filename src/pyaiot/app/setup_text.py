# SPDX-License-Identifier: BSD-3-Clause
"""The settings file that `aiot setup` writes, from its answers. Pure."""

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from pyaiot.app.network import EVERY_ADDRESS, WEB_HOST, listen_settings

Reach: TypeAlias = Literal["machine", "network", "proxy"]

_HEAD: Final = """\
# Settings of Pyaiot, written by aiot setup. aiot config --show prints all settings;
# aiot config checks this file. Services read it again on SIGHUP.
"""
_WEB: Final[dict[Reach, str]] = {
    "machine": """
[broker]
# Only programs and browsers on this machine reach the dashboard, and nobody signs in.
host = "127.0.0.1"
port = 8000
""",
    "network": """
[broker]
# Every device of the network reaches the dashboard, and people sign in.
host = "::"
port = 8000
# Without TLS, the traffic can be read in the network. To encrypt it: aiot tls self-signed,
# then set cert_file and key_file in [tls], and remove this line.
insecure = true
""",
    "proxy": """
[broker]
# A reverse proxy on this machine provides TLS, and people sign in.
host = "127.0.0.1"
port = 8000
# The proxies whose X-Forwarded headers are used.
trusted_proxies = ["127.0.0.1", "::1"]
# The name in the address bar of browsers, as the proxy serves it.
allowed_hosts = [{names}]
""",
}


class SetupAnswers(msgspec.Struct, frozen=True):
    """The answers to the questions of `aiot setup`."""

    reach: Reach
    protocols: tuple[str, ...] = ()
    """Settings sections of the device protocols whose listeners are open to the network."""
    name: str = ""
    """The name under which a proxy serves the dashboard; empty without a proxy."""


def settings_text(answers: SetupAnswers) -> str:
    """The settings file, with a comment for each setting."""
    names = f'"{answers.name}"' if answers.name else ""
    parts = [_HEAD, _WEB[answers.reach].replace("{names}", names)]
    if answers.reach != "machine":
        parts += _listeners(answers.protocols)
    return "".join(parts)


def _listeners(protocols: Iterable[str]) -> Iterable[str]:
    for key in listen_settings(tuple(protocols)):
        if key == WEB_HOST:
            continue
        section, _, name = key.partition(".")
        yield (
            f"\n[{section}]\n# Devices of the network reach this listener; the default is this"
            f' machine only.\n{name} = "{EVERY_ADDRESS}"\n'
        )
