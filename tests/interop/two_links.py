# SPDX-License-Identifier: BSD-3-Clause
"""Two nodes with one and the same address, on two interfaces.

Needs a separate network namespace: test_scopes.py runs it in one.
"""

import re
import subprocess
import sys

import pytest

from tests.clients import Broker
from tests.programs import Programs

GATEWAY_ADDRESS = "fe80::ff"
NODE_ADDRESS = "fe80::1"


def ip(*arguments: str, inside: int | None = None) -> None:
    """Run `ip`, in the network namespace of the process `inside`."""
    where = () if inside is None else ("nsenter", "-t", str(inside), "-n")
    subprocess.run([*where, "ip", *arguments], check=True)


def network_namespace(programs: Programs) -> int:
    """The pid of a process in a separate network namespace."""
    holder = programs.start("unshare", "-n", "sh", "-c", "echo ready; exec sleep 60")
    holder.line()
    return holder.pid


def connect(side: str, inside: int) -> None:
    """A cable from this machine to a node. Each end has only the given address."""
    here, there = f"here-{side}", f"there-{side}"
    ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", str(inside))
    for name, address, where in ((here, GATEWAY_ADDRESS, None), (there, NODE_ADDRESS, inside)):
        ip("link", "set", name, "addrgenmode", "none", "up", inside=where)
        ip("address", "add", f"{address}/64", "dev", name, "nodad", inside=where)


def start_node(programs: Programs, side: str, inside: int) -> None:
    node = programs.start(
        *("nsenter", "-t", str(inside), "-n", sys.executable, "-m", "pyaiot", "node", "coap"),
        *("--uid", side.upper(), "--name", f"the {side} one", "--led"),
        *("--gateway-host", f"{GATEWAY_ADDRESS}%there-{side}"),
        *("--port", "5683", "--separate-source-port", "--alive-period-s", "0.2"),
    )
    node.line()


@pytest.mark.sockets
async def test_nodes_are_distinguished_by_their_interface(programs: Programs) -> None:
    ip("link", "set", "lo", "up")
    for side in ("left", "right"):
        inside = network_namespace(programs)
        connect(side, inside)
        start_node(programs, side, inside)
    everything = programs.aiot("run", "--web-port", "0", "--mqtt-port", "0", "--coap-host", "::")
    found = re.search(r"http://\S+/", everything.line())
    assert found is not None
    async with Broker(found[0]) as broker, broker.client() as client:
        for side in ("left", "right"):
            # Clients see the address without its zone.
            await client.shows(side.upper(), led="0", name=f"the {side} one", ip=NODE_ADDRESS)
        assert (await client.write("RIGHT", "led", "1"))["state"] == "confirmed"
        await client.shows("RIGHT", led="1")
        # The refusal takes a round trip to the left node, after which its LED is known.
        assert (await client.write("LEFT", "name", "x"))["state"] == "refused"
        assert client.nodes["LEFT"]["led"] == "0"
