# SPDX-License-Identifier: BSD-3-Clause
"""Checks the ports that `aiot run` opens: free, or in use by another process."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pyaiot.app.protocols import plugins
from pyaiot.config import Config
from pyaiot.doctor import findings
from pyaiot.doctor.findings import Finding
from pyaiot.gateways.plugin import ListenerPort
from pyaiot.transport.addresses import name_lookup

_KINDS: Final = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
_PROC: Final = Path("/proc")
_LISTENING: Final = "0A"
"""State of a TCP socket in proc_net_tcp(5)."""
_PARENTS_MAX: Final = 8
"""Largest number of ancestors of a process that are examined. Beyond it, the process counts as
foreign."""


def check(config: Config) -> Iterator[Finding]:
    """Bind and release each port."""
    for listener in _listeners(config):
        if not listener.port:
            yield Finding("ports", listener.name, "ok", "any free port")
            continue
        problem = _bind_problem(listener)
        owner, ours = _owner(listener) if problem else ("", False)
        where = f"{listener.transport} port {listener.port} of {listener.host}"
        yield findings.port(
            listener.name, where, problem=problem, owner=owner, ours=ours, flag=listener.flag
        )


def _listeners(config: Config) -> Iterator[ListenerPort]:
    yield ListenerPort("web", "TCP", config.broker.host, config.broker.port, "--web-port")
    for plugin in plugins():
        yield from plugin.ports(config)


def _bind_problem(listener: ListenerPort) -> str:
    """Why the port cannot be bound; empty if it can."""
    try:
        with name_lookup():
            family, kind, _, _, address = socket.getaddrinfo(
                listener.host,
                listener.port,
                type=_KINDS[listener.transport],
                flags=socket.AI_PASSIVE,
            )[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # Bind as servers do: connections in TIME-WAIT do not matter.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            if kind == socket.SOCK_STREAM:
                probe.listen()
    except socket.gaierror as error:
        return f"{listener.host} cannot be resolved ({error.strerror})"
    except PermissionError:
        return "permission denied: ports below 1024 need root"
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return f"{listener.host} is not an address of this machine"
        return error.strerror or str(error)
    return ""


def _owner(listener: ListenerPort) -> tuple[str, bool]:
    """The process that uses the port, and whether it belongs to Pyaiot. Empty if unknown."""
    inodes = _inodes(listener)
    for pid in _processes() if inodes else ():
        with contextlib.suppress(OSError):  # the process has ended, or belongs to another user
            for descriptor in (_PROC / str(pid) / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    return f"{_name(pid)} (process {pid})", _is_ours(pid)
    return "", False


def _inodes(listener: ListenerPort) -> set[str]:
    """The sockets at this port, by their names in `/proc/*/fd`."""
    table = "tcp" if listener.transport == "TCP" else "udp"
    found = set()
    for name in (table, table + "6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / name).read_text().splitlines()[1:]:
                field = line.split()
                listens = table == "udp" or field[3] == _LISTENING
                if listens and int(field[1].rpartition(":")[2], 16) == listener.port:
                    found.add(f"socket:[{field[9]}]")
    return found


def _processes() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(item.name) for item in _PROC.iterdir() if item.name.isdecimal()]
    return []


def _words(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        return [word.decode(errors="replace") for word in words if word]
    return []


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        text = (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
        return text if text.isprintable() else ascii(text)
    return "a process"


def _is_ours(pid: int) -> bool:
    """Whether the process or one of its ancestors is a command of Pyaiot."""
    for _ in range(_PARENTS_MAX):
        words = _words(pid)[:3]
        if any(Path(word).name.startswith("aiot") or word == "pyaiot" for word in words):
            return True
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = (_PROC / str(pid) / "stat").read_text()
            pid = int(stat.rpartition(")")[2].split()[1])
            if pid > 1:
                continue
        return False
    return False
