# SPDX-License-Identifier: BSD-3-Clause
"""Machines with one address family, with two, and without a network.

Each needs a separate network namespace: test_address_families.py runs it in one.
"""

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.programs import Program, Programs, free_port

pytestmark = pytest.mark.sockets

SYSCTL = Path("/proc/sys/net/ipv6/conf")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def loopback() -> None:
    ip("link", "set", "lo", "up")


def interface(address: str) -> None:
    """A network interface with this address, and no route beyond its network."""
    ip("link", "add", "here", "type", "veth", "peer", "name", "there")
    ip("link", "set", "here", "up")
    ip("link", "set", "there", "up")
    ip("address", "add", address, "dev", "here", *(["nodad"] if ":" in address else []))


def switch_ipv6_off() -> None:
    for name in ("all", "default", "lo"):
        (SYSCTL / name / "disable_ipv6").write_text("1")


def is_ready(url: str) -> bool:
    """Whether every part reports that it works."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            parts = json.loads(answer.read())["parts"]
    except urllib.error.HTTPError as error:
        parts = json.loads(error.read())["parts"]
    assert set(parts.values()) == {"ok"}, parts
    return True


def is_open(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


class Running:
    """`aiot run` on known ports."""

    def __init__(self, programs: Programs, *flags: str, **environment: str) -> None:
        stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
        self.web, self.ws = free_port(stream), free_port(stream)
        self.metrics = free_port(stream)
        self.coap, self.mqttsn = free_port(datagram), free_port(datagram)
        self.programs = programs
        self.program: Program = programs.aiot(
            "run",
            *("--web-port", str(self.web), "--ws-port", str(self.ws), "--mqtt-port", "0"),
            *("--coap-port", str(self.coap), "--mqttsn-port", str(self.mqttsn)),
            *("--metrics-port", str(self.metrics)),
            *flags,
            **environment,
        )
        self.startup_text = self.program.startup_text()
        listener = re.search(r"MQTT: TCP port (\d+)", self.startup_text)
        assert listener is not None
        self.mqtt = int(listener[1])

    @property
    def tcp_ports(self) -> tuple[int, ...]:
        return (self.web, self.ws, self.metrics, self.mqtt)

    def lists_nodes(self) -> str:
        """The output of `aiot nodes` with the default address of the broker."""
        ended = self.programs.run("nodes", "--broker-port", str(self.web))
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def takes_coap_at(self, host: str, uid: str) -> None:
        """Check that a simulated board which uses this address of the gateway appears."""
        node = self.programs.aiot(
            *("node", "coap", "--gateway-host", host, "--gateway-port", str(self.coap)),
            *("--uid", uid, "--port", "0", "--alive-period-s", "0.2"),
        )
        node.line()
        for _ in range(100):
            if uid in self.lists_nodes():
                return
        raise AssertionError(f"{uid} does not appear: {self.program.stderr}")


def test_a_machine_without_a_network(programs: Programs) -> None:
    loopback()
    running = Running(programs)
    for port in running.tcp_ports:
        assert is_open("127.0.0.1", port)
        assert is_open("::1", port)
    running.lists_nodes()
    running.takes_coap_at("127.0.0.1", "FOUR")
    running.takes_coap_at("::1", "SIX")
    assert is_ready(f"http://[::1]:{running.web}")


def test_a_machine_with_ipv6_only(programs: Programs) -> None:
    loopback()
    interface("2001:db8::7/64")
    running = Running(programs)
    running.lists_nodes()
    # Loopback stays loopback.
    for port in running.tcp_ports:
        assert not is_open("2001:db8::7", port)
    running.takes_coap_at("localhost", "HERE")


def test_a_machine_with_ipv6_switched_off(programs: Programs) -> None:
    loopback()
    switch_ipv6_off()
    every = ("--host", "--coap-host", "--ws-host", "--mqtt-listen", "--mqttsn-host")
    running = Running(
        programs,
        *(word for flag in every for word in (flag, "::")),
        *("--metrics-host", "::", "--insecure", "--anonymous", "viewer"),
    )
    for port in running.tcp_ports:
        assert is_open("127.0.0.1", port)
    assert is_ready(f"http://127.0.0.1:{running.web}")
    running.takes_coap_at("127.0.0.1", "FOUR")
    assert "Traceback" not in running.program.stderr


NO_IPV6 = """
import errno, socket

class _Socket(socket.socket):
    def __init__(self, family=-1, *rest, **more):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        super().__init__(family, *rest, **more)

socket.socket = _Socket
"""
"""Makes Python behave as in a kernel that was built or booted without IPv6."""


def test_a_kernel_without_ipv6(programs: Programs) -> None:
    loopback()
    switch_ipv6_off()
    (programs.home / "sitecustomize.py").write_text(NO_IPV6)
    for flags in ((), ("--coap-host", "::", "--mqttsn-host", "::")):
        running = Running(programs, *flags, PYTHONPATH=str(programs.home))
        for port in running.tcp_ports:
            assert is_open("127.0.0.1", port)
        assert is_ready(f"http://127.0.0.1:{running.web}")
        running.lists_nodes()
        running.takes_coap_at("127.0.0.1", f"FOUR{len(flags)}")
        assert "CoAP: IPv4 only, the kernel has no IPv6" in running.program.stderr
        assert "Traceback" not in running.program.stderr
        running.program.send(signal.SIGTERM)
        assert running.program.exit_code(10) == 0


def test_loopback_with_ipv6_switched_off(programs: Programs) -> None:
    loopback()
    switch_ipv6_off()
    running = Running(programs)
    running.lists_nodes()
    assert is_ready(f"http://127.0.0.1:{running.web}")
    running.takes_coap_at("localhost", "FOUR")
    assert "Traceback" not in running.program.stderr


def test_every_address_is_both_families_and_the_printed_link_works(
    programs: Programs,
) -> None:
    loopback()
    interface("192.0.2.7/24")
    every = ("--host", "--coap-host", "--ws-host", "--mqtt-listen", "--mqttsn-host")
    running = Running(
        programs,
        *(word for flag in every for word in (flag, "::")),
        *("--metrics-host", "::", "--insecure"),
    )
    for port in running.tcp_ports:
        for host in ("127.0.0.1", "::1", "192.0.2.7"):
            assert is_open(host, port), (host, port)
    link = re.search(r"http://\S+/login\?token=\S+", running.startup_text)
    assert link is not None
    assert link[0].startswith(f"http://192.0.2.7:{running.web}/")
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(link[0], timeout=10) as answer:
        assert answer.status == 200
    metrics = re.search(r"Metrics: (\S+)", running.startup_text)
    assert metrics is not None
    assert metrics[1].startswith(f"http://192.0.2.7:{running.metrics}/")
    with urllib.request.urlopen(metrics[1], timeout=10) as answer:
        assert answer.status == 200
