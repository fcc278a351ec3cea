# SPDX-License-Identifier: BSD-3-Clause
"""The trace of the CoAP gateway, read back by programs that are not ours."""

import asyncio
import contextlib
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pcapng
import pytest
from pcapng import blocks

from pyaiot.gateways.coap import trace as module
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.coap.trace import FILES, WAITING_MAX, Trace
from pyaiot.protocols.coap.message import CoapMessage
from pyaiot.protocols.coap.numbers import Code
from pyaiot.transport.peers import Peer
from tests.coap_device import Reply, coap_device
from tests.interop.conftest import output
from tests.programs import Programs
from tests.running import Scene, scene

PEER = Peer(("::ffff:10.0.0.7", 49152, 0, 0))
POST = bytes.fromhex("52020001abcd") + b"\xb6server\xfft:1"
CHANGED = bytes.fromhex("52440001abcd")


def packets(path: Path) -> list[tuple[str, bytes]]:
    """The comment and the CoAP message of each packet."""
    with path.open("rb") as file:
        found = [
            item for item in pcapng.FileScanner(file) if isinstance(item, blocks.EnhancedPacket)
        ]
    return [(item.options["opt_comment"], item.packet_data[28:]) for item in found]


def names(path: Path) -> list[tuple[str, str]]:
    with path.open("rb") as file:
        found = [
            item for item in pcapng.FileScanner(file) if isinstance(item, blocks.NameResolution)
        ]
    return [(record["address"], record["names"][0]) for item in found for record in item.records]


def opened(path: Path, **changed: Any) -> Trace:
    settings: dict[str, Any] = {"size_max": 10**6, "nodes": (), "unix_time": lambda: 1.7e9}
    it = Trace(path, **(settings | changed))
    it.begin(5683, lambda _address: "A")
    return it


async def written(it: Trace) -> None:
    task = asyncio.get_running_loop().create_task(it.run())
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def traced(path: Path, *nodes: str) -> AsyncIterator[Scene]:
    async with scene(coap=CoapSection(port=0, trace=str(path), trace_nodes=nodes)) as it:
        yield it


# -- the whole gateway -----------------------------------------------------------------------------


@pytest.mark.sockets
async def test_exchanges_are_written_with_node_and_what_became_of_them(tmp_path: Path) -> None:
    path = tmp_path / "t.pcapng"
    async with traced(path) as it:
        it.device.has({"t": Reply(payload=b"20", observe=10)})
        it.device.offers(b"</t>;obs")
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", t="20")
        await it.device.post("server", "ip:1.2.3.4")
        it.device.notify("t", "21", 11)
        await it.client.shows("A", t="21")
        async with coap_device(it.running.coap_port) as unknown_peer:
            await unknown_peer.post("server", "x:1")
    found = packets(path)
    assert names(path) == [(it.device.host, "A")]
    comments = [comment for comment, _ in found]
    assert comments[0] == "node A: accepted: 2.04 Changed"
    assert "node A: refused: 4.03 Forbidden, the resource ip is the gateway's own" in comments
    assert comments.count("node A: answered 2.05 Content") == 2
    assert "node A: notification" in comments
    assert "no known node: refused: 5.03 Service Unavailable" in comments
    # Whole, and both directions of each exchange.
    codes = [CoapMessage.from_bytes(data).code for _, data in found]
    assert codes.count(Code.POST) == 3
    assert codes.count(Code.GET) == 2


@pytest.mark.sockets
async def test_only_chosen_nodes_are_written(tmp_path: Path) -> None:
    path = tmp_path / "t.pcapng"
    async with traced(path, "B") as it, coap_device(it.running.coap_port) as other:
        await it.device.post("alive", "alive:A")
        await other.post("alive", "alive:B")
        await other.post("server", "t:1")
        await it.client.shows("B", t="1")
    assert {comment.partition(":")[0] for comment, _ in packets(path)} == {"node B"}
    assert [name for _, name in names(path)] == ["B"]


@pytest.mark.sockets
async def test_wireshark_reads_it(tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("no tshark: install tshark")
    path = tmp_path / "t.pcapng"
    async with traced(path) as it:
        it.device.has({"led": "0"})
        await it.device.post("alive", "alive:A")
        await it.client.shows("A", led="0")
        port = it.running.coap_port
    comments = await output(
        *(
            "tshark",
            "-r",
            str(path),
            "-d",
            f"udp.port=={port},coap",
            "-o",
            "udp.check_checksum:TRUE",
        ),
        *("-T", "fields", "-e", "frame.comment", "-e", "coap.code", "-e", "udp.checksum.status"),
    )
    lines = [line.split("\t") for line in comments.splitlines() if "\t" in line]
    assert lines[0] == ["node A: accepted: 2.04 Changed", "2", "1"]
    assert len(lines) >= 6
    assert {status for _, _, status in lines} == {"1"}


# -- the file --------------------------------------------------------------------------------------


async def test_files_follow_each_other_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "t.pcapng"
    it = opened(path, size_max=2000)
    for number in range(200):
        it.datagram(POST[:4] + b"%02d" % (number % 100) + POST[6:], PEER, True)
    await written(it)
    files = [path, *(tmp_path / f"t.pcapng.{number}" for number in range(1, FILES))]
    assert set(os.listdir(tmp_path)) == {item.name for item in files}  # noqa: PTH208
    for item in files:
        assert item.stat().st_size < 2000 + 300
        assert packets(item)
        assert names(item) == [("10.0.0.7", "A")]
    older, newer = packets(tmp_path / "t.pcapng.1")[-1][1], packets(path)[0][1]
    assert int(newer[4:6]) == (int(older[4:6]) + 1) % 100


async def test_trace_that_was_there_is_kept_as_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "t.pcapng"
    path.write_bytes(b"before")
    await written(opened(path))
    assert (tmp_path / "t.pcapng.1").read_bytes() == b"before"
    assert packets(path) == []


async def test_trace_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.pcapng"
    await written(opened(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_too_many_datagrams_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.pcapng"
    it = opened(path, size_max=10**8)
    for _ in range(WAITING_MAX + 5):
        it.datagram(POST, PEER, True)
    it._waiting.clear()
    it.datagram(CHANGED, PEER, False)
    await written(it)
    ((comment, _),) = packets(path)
    assert "(5 datagrams before it were dropped)" in comment


async def test_request_that_waits_too_long_is_written_without_what_became_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_MAX", 1)
    path = tmp_path / "t.pcapng"
    it = opened(path)
    it.datagram(POST, PEER, True)
    it.datagram(POST[:4] + b"xy" + POST[6:], PEER, True)
    it.datagram(CHANGED, PEER, False)
    await written(it)
    assert packets(path)[0][0] == "node A: not answered within a second"


async def test_names_of_a_file_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMES_MAX", 2)
    path = tmp_path / "t.pcapng"
    it = opened(path)
    for number in range(4):
        it.datagram(POST, Peer((f"::ffff:10.0.0.{number}", 49152, 0, 0)), True)
    await written(it)
    assert len(packets(path)) == 4
    assert [host for host, _ in names(path)] == ["10.0.0.0", "10.0.0.1"]


@pytest.mark.parametrize("data", [b"", b"\x40", b"\xff" * 20, b"\x40\x45\x00\x01", POST[:-4]])
async def test_what_is_no_coap_is_written_too(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.pcapng"
    it = opened(path)
    it.datagram(data, PEER, True)
    await written(it)
    assert [item for _, item in packets(path)] == [data]


async def test_disk_that_is_full_ends_the_trace_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.pcapng"
    it = opened(path, size_max=1)  # a file for each datagram

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    it.datagram(POST, PEER, True)
    monkeypatch.setattr(os, "open", full)
    await written(it)
    assert f"Trace {path} stopped: No space left on device" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("place", ["missing/t.pcapng", "."])
def test_unwritable_trace_file_is_reported_in_one_sentence(
    programs: Programs, tmp_path: Path, place: str
) -> None:
    done = programs.run(
        *("coap-gateway", "--trace", tmp_path / place, "--coap-port", "0"),
        *("--key-file", programs.key_file()),
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be written" in done.stderr
    assert not (tmp_path / "missing").exists()
    assert tmp_path.is_dir()
