# SPDX-License-Identifier: BSD-3-Clause
"""A uid with a credential is given to nobody without it. Pure, but for the file of the store."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.accounts.devices import DeviceStore
from pyaiot.errors import Refused, TooFast
from pyaiot.gateways.base import new_gateway
from pyaiot.gateways.device_watch import INTERVAL_S
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.legacy import encode_to_client
from pyaiot.messages import NodeLeft, UidsSecured

TS = 1000.0


def nodes(*, secured: tuple[str, ...] = ("lamp",), **limits: float) -> LiveNodes:
    return LiveNodes(
        silence_limit_s=120.0,
        nodes_max=int(limits.pop("nodes_max", 10)),
        is_secured=secured.__contains__,
        **limits,  # type: ignore[arg-type]
    )


def test_a_claim_without_the_credential_is_refused_and_counted() -> None:
    it = nodes()
    with pytest.raises(Refused, match="the node lamp has a credential"):
        it.node_seen("lamp", {}, now=0.0, ts=TS)
    assert "lamp" not in it
    assert it.new_nodes_refused == 1


def test_the_owner_of_the_credential_is_not_affected_by_such_a_claim() -> None:
    it = nodes()
    it.node_seen("lamp", {"ip": "10.0.0.1"}, now=0.0, ts=TS, secured=True)
    with pytest.raises(Refused):
        it.node_seen("lamp", {"ip": "10.0.0.66"}, now=100.0, ts=TS)
    node = it.get("lamp")
    assert node is not None
    assert node.bookkeeping["ip"].data == "10.0.0.1"
    assert node.last_seen == 0.0


def test_a_secured_node_replaces_an_unsecured_one_without_its_values() -> None:
    it = nodes(secured=())
    it.node_seen("lamp", {"ip": "10.0.0.66"}, now=0.0, ts=TS)
    it.reading("lamp", "led", "1", now=0.0, ts=TS)
    events = it.node_seen("lamp", {"ip": "10.0.0.1"}, now=1.0, ts=TS, secured=True)
    names = [type(event).__name__ for event in events]
    assert names == ["NodeReset", "NodeAppeared", "Reading"]
    node = it.get("lamp")
    assert node is not None
    assert node.readings == {}
    assert node.secured


def test_a_full_gateway_gives_the_place_of_an_unverified_node_to_a_secured_one() -> None:
    it = nodes(nodes_max=1)
    it.node_seen("desk", {}, now=0.0, ts=TS)
    events = it.node_seen("lamp", {}, now=0.1, ts=TS, secured=True)
    assert [type(event).__name__ for event in events] == ["NodeLeft", "NodeAppeared"]
    assert [event.uid for event in events] == ["desk", "lamp"]


def test_other_nodes_do_not_use_up_the_rate_or_the_quota_of_a_secured_node() -> None:
    it = nodes(nodes_max=100, nodes_per_host_max=3, new_nodes_per_s=0.4)
    it.node_seen("s0", {}, now=0.0, ts=TS, host="h")
    it.node_seen("s1", {}, now=0.0, ts=TS, host="h")
    with pytest.raises(TooFast):
        it.node_seen("s2", {}, now=0.0, ts=TS, host="h")
    it.node_seen("lamp", {}, now=0.0, ts=TS, host="h", secured=True)
    assert "lamp" in it


async def test_a_credential_that_is_added_evicts_whoever_had_the_uid(tmp_path: Path) -> None:
    path = tmp_path / "devices.db"
    gateway = new_gateway("coap", "CoAP", 120.0, 10, devices=DeviceStore(path))
    gateway.device_watch.start()
    evicted: list[str] = []
    gateway.evicted = evicted.append
    gateway.node_seen("lamp", {})
    command = DeviceStore(path)
    command.add(DeviceCredential("lamp", "psk", b"k" * 16, 1.0))
    await asyncio.sleep(INTERVAL_S * 1.5)
    assert evicted == ["lamp"]
    with pytest.raises(Refused):
        gateway.node_seen("lamp", {})
    gateway.node_seen("lamp", {}, secured=True)
    gateway.node_seen("desk", {})
    command.remove("lamp")
    await asyncio.sleep(INTERVAL_S * 1.5)
    assert evicted == ["lamp", "lamp"]
    assert "desk" in gateway.nodes
    assert NodeLeft(uid="lamp", ts=TS, reason="left", unsecured=True) in [
        msgspec.structs.replace(it, ts=TS) for it in gateway._unconfirmed
    ]
    gateway.node_seen("lamp", {})
    gateway.device_watch.close()


async def test_a_file_that_cannot_be_read_leaves_the_credentials_as_they_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "devices.db"
    DeviceStore(path).add(DeviceCredential("lamp", "psk", b"k" * 16, 1.0))
    gateway = new_gateway("coap", "CoAP", 120.0, 10, devices=DeviceStore(path))
    gateway.device_watch.start()
    path.unlink()
    path.write_text("no database")
    path.chmod(0o600)
    await asyncio.sleep(INTERVAL_S * 5)
    assert len(caplog.records) == 1
    assert gateway.devices.is_secured("lamp")
    gateway.device_watch.close()


async def test_a_credential_that_was_removed_while_the_gateway_was_off_is_reported(
    tmp_path: Path,
) -> None:
    path = tmp_path / "devices.db"
    command = DeviceStore(path)
    for uid in ("lamp", "desk"):
        command.add(DeviceCredential(uid, "psk", b"k" * 16, 1.0))
    command.remove("lamp")
    gateway = new_gateway("coap", "CoAP", 120.0, 10, devices=DeviceStore(path))
    secured, left = gateway.device_watch.announcement()
    assert secured == UidsSecured(uids=("desk",))
    assert isinstance(left, NodeLeft)
    assert (left.uid, left.unsecured) == ("lamp", True)
    # A broker of the older system would take it for a node that is offline.
    assert encode_to_client(left) is None
