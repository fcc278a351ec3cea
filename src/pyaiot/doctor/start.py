# SPDX-License-Identifier: BSD-3-Clause
"""Checks whether `aiot run` starts with the settings, and who can reach its web listener."""

from collections.abc import Iterator

from pyaiot.app.accounts import is_proxied, needs_sign_in
from pyaiot.app.broker_web import NO_TRUSTED_PROXY
from pyaiot.app.start_checks import check_start
from pyaiot.config import Config
from pyaiot.doctor.findings import Finding
from pyaiot.errors import OperatorError
from pyaiot.transport.addresses import is_loopback


def check(config: Config) -> Iterator[Finding]:
    """The sentence with which `aiot run` would end at its start, if there is one. Otherwise how
    clients reach the web listener, with a note for each risk."""
    try:
        check_start(config)
    except OperatorError as error:
        action = "correct this: aiot run does not start with these settings"
        yield Finding("settings", "start", "wrong", str(error).rstrip("."), action)
        return
    section = config.broker
    is_open = not is_loopback(section.host)
    where = f"the web listener on {section.host}"
    if not needs_sign_in(section):
        yield Finding("settings", "start", "ok", f"{where} is for this machine only")
        return
    if is_open and not config.tls.covers("web") and not is_proxied(section):
        yield Finding(
            *("settings", "start", "note"),
            f"{where} uses plain HTTP, which can be read on the network",
            "set --tls-cert and --tls-key, or use it in a trusted network only",
        )
    else:
        how = "TLS of a proxy" if is_proxied(section) else "TLS"
        yield Finding("settings", "start", "ok", f"{where} uses {how}, and people sign in")
    if section.behind_proxy and not section.trusted_proxies:
        text, _, action = NO_TRUSTED_PROXY.rpartition(": ")
        yield Finding("settings", "proxy", "note", text, action)
    if section.anonymous == "viewer":
        yield Finding(
            *("settings", "visitors", "note"),
            "everybody who reaches the dashboard sees all nodes",
            "omit --anonymous viewer if only people who sign in may see them",
        )
