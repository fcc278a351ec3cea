# SPDX-License-Identifier: BSD-3-Clause
"""Faults of the machine and its network: loss, clock steps, a full disk.

They change the network and the mounts of the process, which must be in separate namespaces.
"""

import contextlib
import http.client
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.faults.nodes import HOST
from benchmarks.faults.rig import ALL_COAP, ALL_MQTT, ALL_MQTTSN, COAP, Parts, Rig
from benchmarks.faults.row import MakeFault, Row, fault, measured

LOSS_PERCENT: Final = 20
LOSSY_S: Final = 20.0
FULL_S: Final = 5.0
DISK_SIZE: Final = "48m"
STEPS_S: Final = (3600, -3600)
FAKETIME: Final = "/usr/lib/*/faketime/libfaketimeMT.so.1"


# -- loss -----------------------------------------------------------------------------------------


def lossy(rig: Rig) -> None:
    """Drop packets to and from the port of the devices until the network is removed."""
    rules = "".join(
        f"add rule inet faults in {protocol} {side} {rig.device_port}"
        f" numgen random mod 100 < {LOSS_PERCENT} drop\n"
        for protocol in ("udp", "tcp")
        for side in ("dport", "sport")
    )
    nft(
        "add table inet faults\n"
        "add chain inet faults in { type filter hook input priority 0; }\n" + rules
    )
    time.sleep(LOSSY_S)


def nft(script: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)


def losses() -> Iterator[Row]:
    for protocol, parts in (("CoAP", ALL_COAP), ("MQTT", ALL_MQTT), ("MQTT-SN", ALL_MQTTSN)):
        name = f"{protocol}: {LOSS_PERCENT} % of the packets are lost, in each direction"
        try:
            yield fault(name, lossy, parts)
        finally:
            nft("add table inet faults\ndelete table inet faults\n")


# -- the clock ------------------------------------------------------------------------------------


def clock_steps() -> Iterator[Row]:
    """Step the clock of broker and gateway, while a program uses a token and a session."""
    library = next(iter(Path("/").glob(FAKETIME[1:])), None)
    if library is None:
        raise SystemExit("libfaketime is not installed: apt install libfaketime")
    for step_s in STEPS_S:
        with tempfile.TemporaryDirectory(prefix="aiot-faults-") as name:
            folder = Path(name)
            offset = folder / "offset"
            offset.write_text("+0")
            environment = {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(offset),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            with Rig(COAP, folder, more="--behind-proxy", environment=environment) as rig:
                rig.ready()
                rig.start_rest()
                yield _clock_step(rig, offset, step_s)


def _clock_step(rig: Rig, offset: Path, step_s: int) -> Row:
    token = rig.aiot("token", "add", "faults", "--role", "operator").strip()
    session = {"Cookie": signed_in(rig)}

    def step(_rig: Rig) -> None:
        offset.write_text(f"{step_s:+}")

    return measured(
        f"Clock of broker and gateway steps by {step_s / 3600:+.0f} h; with a token and a session",
        step,
        rig,
        COAP,
        headers={"Authorization": f"Bearer {token}"},
        reading_headers=session,
    )


def signed_in(rig: Rig) -> str:
    """The cookie of a new session, from an invitation."""
    link = re.search(r"/login\?token=\S+", rig.aiot("invite"))
    assert link is not None
    connection = http.client.HTTPConnection(HOST, rig.web_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", link[0], headers={"X-Forwarded-Proto": "https"})
        answer = connection.getresponse()
        cookie = answer.headers.get("Set-Cookie", "")
    assert answer.status == 303, answer.status
    return cookie.partition(";")[0]


# -- the disk -------------------------------------------------------------------------------------


def full_disk(rig: Rig) -> None:
    filler = rig.folder / "filler"
    for size in (65536, 1):
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(size))
    time.sleep(FULL_S)
    filler.unlink()


def full_disks() -> Iterator[Row]:
    """Put all stored files on one small disk, and fill it."""
    for protocol, parts in (("CoAP", COAP), ("MQTT", ALL_MQTT)):
        with tempfile.TemporaryDirectory(prefix="aiot-faults-") as name:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", name], check=True
            )
            try:
                yield _full_disk(f"{protocol}: the disk is full for {FULL_S:.0f} s", parts, name)
            finally:
                subprocess.run(["umount", name], check=True)


def _full_disk(name: str, parts: Parts, folder: str, make: MakeFault = full_disk) -> Row:
    with Rig(parts, Path(folder)) as rig:
        rig.ready()
        rig.start_rest()
        return measured(name, make, rig, parts)


def rows() -> Iterator[Row]:
    yield from losses()
    yield from clock_steps()
    yield from full_disks()
