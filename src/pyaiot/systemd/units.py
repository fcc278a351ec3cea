# SPDX-License-Identifier: BSD-3-Clause
"""The text of the unit files. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pyaiot.errors import OperatorError

NAME: Final = "pyaiot"
"""Name of the unit that runs all services, of the user, and of the folders below /etc and
/var/lib."""
TARGET: Final = f"{NAME}.target"
"""The target of all services, if each has its own unit."""
WATCHDOG_S: Final = 60
"""A service whose event loop hangs for this time is killed and started again."""
RESTART_S: Final = 5
"""Pause before a service that ended is started again, without a limit."""
STOP_S: Final = 15
"""Services end within two seconds; after this time they are killed."""

HISTORIC: Final = (
    *("aiot-broker", "aiot-coap-gateway", "aiot-mqtt-gateway", "aiot-ws-gateway"),
    *("aiot-mqttsn-gateway", "aiot-dashboard", "aiot-generate-keys"),
)
"""Units of earlier versions, one for each command. Their names are kept as aliases."""

_WRITTEN: Final = """\
# Written by `aiot service install`, which replaces it.
# `systemctl edit {name}` adds settings that stay.
"""

# MemoryDenyWriteExecute is not included: OpenSSL gets the keys of devices from a callback, which
# needs memory that is writable and executable.
_HARDENING: Final = """\
NoNewPrivileges=yes
CapabilityBoundingSet={capabilities}
AmbientCapabilities={capabilities}
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0077
"""
# The settings that work without privileges, for the units of a user.
_USER_HARDENING: Final = """\
NoNewPrivileges=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
UMask=0077
"""


class Service(msgspec.Struct, frozen=True):
    """One command of `aiot` as a service."""

    command: str
    """`run`, `broker`, `coap-gateway` and so on."""
    description: str
    environment: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Settings that override the settings file."""
    low_ports: bool = False
    """Whether it listens on a port below 1024."""
    aliases: Sequence[str] = ()

    @property
    def unit(self) -> str:
        """The name of its unit file."""
        return f"{NAME}.service" if self.command == "run" else f"{NAME}-{self.command}.service"


def service_unit(
    service: Service, program: Sequence[str], *, user: bool = False, home: str = "yes"
) -> str:
    """The unit file of a service.

    `program`: the command line of `aiot`; the first element is an absolute path. `user`: for the
    service manager of one user. `home`: the value of `ProtectHome`. Raises `OperatorError` for a
    value that a unit file cannot contain.
    """
    is_alone = service.command == "run"
    keys = service.command == "generate-keys"
    capabilities = "CAP_NET_BIND_SERVICE" if service.low_ports else ""
    lines = [_WRITTEN.format(name=service.unit), "[Unit]"]
    lines.append(f"Description={service.description}")
    lines.append("Documentation=man:aiot(1)")
    if keys:
        lines.append(f"Before={NAME}-broker.service")
    else:
        # Ordering only: the others need not exist.
        lines += ["Wants=network-online.target", "After=network-online.target time-sync.target"]
        lines.append("After=postgresql.service mosquitto.service nats-server.service")
        # A service that cannot start yet, for example because the network is not up, is tried
        # again.
        lines.append("StartLimitIntervalSec=0")
    if not is_alone:
        lines.append(f"PartOf={TARGET}")
    lines += ["", "[Service]"]
    command = [*program, service.command, *(["--if-missing"] if keys else [])]
    lines.append(f"ExecStart={' '.join(map(quoted, command))}")
    if keys:
        lines += ["Type=oneshot", "RemainAfterExit=yes"]
    else:
        lines += ["Type=notify", "NotifyAccess=main", f"WatchdogSec={WATCHDOG_S}"]
        lines.append("ExecReload=sh -c 'kill -HUP $MAINPID'")
        lines += ["Restart=always", f"RestartSec={RESTART_S}", f"TimeoutStopSec={STOP_S}"]
    lines += [
        f"Environment={quoted(f'{name}={value}', in_command=False)}"
        for name, value in service.environment.items()
    ]
    if user:
        lines.append(_USER_HARDENING)
    else:
        lines += [f"User={NAME}", f"StateDirectory={NAME}", "StateDirectoryMode=0700"]
        lines += [f"ConfigurationDirectory={NAME}", f"WorkingDirectory=%S/{NAME}"]
        lines.append(_HARDENING.format(capabilities=capabilities, home=home))
    wanted = TARGET if not is_alone else "default.target" if user else "multi-user.target"
    lines += ["[Install]", f"WantedBy={wanted}"]
    if service.aliases:
        lines.append(f"Alias={' '.join(f'{alias}.service' for alias in service.aliases)}")
    return "\n".join(lines) + "\n"


def target_unit(services: Sequence[Service], *, user: bool = False) -> str:
    """`pyaiot.target`, which starts and stops the services together."""
    wants = " ".join(service.unit for service in services)
    return (
        f"{_WRITTEN.format(name=TARGET)}\n[Unit]\nDescription=Pyaiot: all services\n"
        f"Wants={wants}\n\n[Install]\nWantedBy={'default' if user else 'multi-user'}.target\n"
    )


def sysusers() -> str:
    """The file of sysusers.d(5) for the user of the services."""
    return f'u {NAME} - "Pyaiot" /var/lib/{NAME}\n'


def quoted(word: str, *, in_command: bool = True) -> str:
    """A word in the syntax of unit files, without expansion. Raises `OperatorError`.

    `in_command`: the word is in a command line, where `$` has a meaning.
    """
    if not word.isprintable():
        raise OperatorError(f"A unit file cannot contain the value {word!r:.60}.")
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if in_command:
        word = word.replace("$", "$$")
    return word if re.fullmatch(r"[-\w./:=@%,+]+", word, re.ASCII) else f'"{word}"'


def environment_of(unit: str) -> dict[str, str]:
    """The settings in a unit file that `service_unit` made."""
    found = {}
    for line in unit.splitlines():
        key, _, value = line.partition("=")
        if key == "Environment":
            if value.startswith('"'):
                value = value[1:-1]
            value = value.replace("%%", "%")
            name, _, text = re.sub(r"\\(.)", r"\1", value).partition("=")
            found[name] = text
    return found
