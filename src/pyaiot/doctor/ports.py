# SPDX-License-Identifier: BSD-3-Clause
"""The doors that `aiot run` would open: free, or held by whom."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyaiot.config import Config
from pyaiot.doctor import findings
from pyaiot.doctor.findings import Finding

_PROC: Final = Path("/proc")
_LISTENING: Final = "0A"
"""State of a TCP socket in proc_net_tcp."""
_PARENTS_MAX: Final = 8
"""How far up a process is looked at for who started it."""


@dataclass(frozen=True, slots=True)
class _Door:
    name: str
    kind: socket.SocketKind
    host: str
    port: int
    flag: str

    @property
    def where(self) -> str:
        protocol = "TCP" if self.kind == socket.SOCK_STREAM else "UDP"
        return f"{protocol} port {self.port} of {self.host}"


def look(config: Config) -> Iterator[Finding]:
    """Each port is taken and given back at once."""
    for door in _doors(config):
        if not door.port:
            yield Finding("ports", door.name, "ok", "any free one is taken")
            continue
        problem = _cannot_bind(door)
        owner, ours = _holder(door) if problem else ("", False)
        yield findings.port(
            door.name, door.where, problem=problem, owner=owner, ours=ours, flag=door.flag
        )


def _doors(config: Config) -> Iterator[_Door]:
    tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
    yield _Door("web", tcp, config.broker.host, config.broker.port, "--web-port")
    yield _Door("CoAP", udp, config.coap.host, config.coap.port, "--coap-port")
    yield _Door("WebSocket", tcp, config.websocket.host, config.websocket.port, "--ws-port")
    if not config.mqtt.host:
        yield _Door("MQTT", tcp, config.mqtt.listen, config.mqtt.port, "--mqtt-port")
    yield _Door("MQTT-SN", udp, config.mqttsn.host, config.mqttsn.port, "--mqttsn-port")


def _cannot_bind(door: _Door) -> str:
    """Why the port cannot be had; nothing if it can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            door.host, door.port, type=door.kind, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # As servers do: what is left of connections that ended is not in the way.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            if kind == socket.SOCK_STREAM:
                probe.listen()
    except socket.gaierror as error:
        return f"{door.host} is no address here ({error.strerror})"
    except PermissionError:
        return "ports below 1024 are for the superuser"
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return f"{door.host} is no address of this machine"
        return error.strerror or str(error)
    return ""


def _holder(door: _Door) -> tuple[str, bool]:
    """The process that has it, and whether it is one of Pyaiot; nothing where nobody tells."""
    inodes = _inodes(door)
    for pid in _processes() if inodes else ():
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            for descriptor in (_PROC / str(pid) / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    return f"{_name(pid)} (process {pid})", _is_ours(pid)
    return "", False


def _inodes(door: _Door) -> set[str]:
    """Of the sockets at this port, as `/proc/*/fd` names them."""
    table = "tcp" if door.kind == socket.SOCK_STREAM else "udp"
    found = set()
    for name in (table, table + "6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / name).read_text().splitlines()[1:]:
                field = line.split()
                listens = table == "udp" or field[3] == _LISTENING
                if listens and int(field[1].rpartition(":")[2], 16) == door.port:
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
    """Whether it, or one that started it, is a command of Pyaiot."""
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
