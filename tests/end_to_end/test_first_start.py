# SPDX-License-Identifier: BSD-3-Clause
"""The first start beyond loopback prints what a phone needs to sign in; loopback stays free of it.

Each start is in a network namespace with one address.
"""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.programs import Programs

pytestmark = pytest.mark.sockets

ADDRESS = "192.0.2.7"
LIMIT_S = 30.0
SIGNED_IN_S = 10.0
NETWORK = (
    f"ip link set lo up; ip link add lan type veth peer name phone; ip link set phone up;"
    f" ip address add {ADDRESS}/24 dev lan; ip link set lan up;"
    f' ip route add default via 192.0.2.1; exec "$@"'
)


@pytest.fixture(autouse=True)
def network_namespaces() -> None:
    missing = [name for name in ("unshare", "nsenter", "ip", "curl") if shutil.which(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"not installed: {', '.join(missing)}")
    assert not missing


@contextmanager
def started(
    programs: Programs, *flags: str, on_terminal: bool
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """`aiot broker` in its own network, and all that it prints up to its last line."""
    command = (
        *("unshare", "--map-root-user", "--net", "sh", "-c", NETWORK, "sh"),
        *(sys.executable, "-m", "pyaiot", "broker", "--port", "8000", "--key-file", "off"),
        *("--history", "off", "--registry", "off", *flags),
    )
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=programs.environment(),
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while b"(Ctrl+C ends it)" not in shown:
            assert select.select([ours], [], [], LIMIT_S)[0], shown
            shown += os.read(ours, 65536)
        yield process, shown.decode()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT_S)
        os.close(ours)


def link_in(shown: str) -> str:
    found = re.search(r"http://\S+/login\?token=[\w-]{43}", shown)
    assert found, shown
    return found[0]


@pytest.mark.parametrize("on_terminal", [True, False])
def test_phone_is_signed_in_with_the_printed_link(programs: Programs, on_terminal: bool) -> None:
    began = time.monotonic()
    flags = ("--host", "0.0.0.0", "--insecure")
    with started(programs, *flags, on_terminal=on_terminal) as (process, shown):
        link = link_in(shown)
        assert link.startswith(f"http://{ADDRESS}:8000/login?token=")
        # Half blocks of a QR code; a log file or a pipe has none.
        assert ("▄" in shown) is on_terminal
        inside = ("nsenter", "-t", f"{process.pid}", "-U", "-n", "--preserve-credentials")
        curl = ("curl", "-s", "-o", os.devnull, "-w", "%{http_code} %{redirect_url}", "-d", "")
        answer = subprocess.run(
            [*inside, *curl, link], capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
        assert answer.stdout == f"303 http://{ADDRESS}:8000/"
        assert time.monotonic() - began < SIGNED_IN_S


def test_qr_code_has_the_link(programs: Programs) -> None:
    with started(programs, "--host", "0.0.0.0", "--insecure", on_terminal=True) as (_, shown):
        # Imported here: only this test draws one.
        from pyaiot.accounts.qr_code import qr_code

        assert qr_code(link_in(shown)) in shown.replace("\r\n", "\n")


def test_loopback_prints_no_link(programs: Programs) -> None:
    with started(programs, on_terminal=True) as (_, shown):
        assert "login" not in shown
        assert "▄" not in shown
    assert not list(programs.home.rglob("accounts.db"))


@pytest.mark.parametrize("address", [ADDRESS, "198.51.100.7"])
def test_address_for_links_is_that_of_the_network_with_and_without_a_route(address: str) -> None:
    code = "from pyaiot.transport.addresses import own_address; print(own_address())"
    network = NETWORK
    if address != ADDRESS:
        network = NETWORK.replace(ADDRESS, address).replace(
            "ip route add default via 192.0.2.1;", ""
        )
    shown = subprocess.run(
        [
            *("unshare", "--map-root-user", "--net", "sh", "-c", network, "sh"),
            *(sys.executable, "-c", code),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    assert shown.stdout.strip() == address
