# SPDX-License-Identifier: BSD-3-Clause
"""Credentials of devices through the HTTP API, for administrators."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pyaiot.accounts.devices import DeviceStore
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import new_token
from pyaiot.app.device_access import LocalDevices, digest_of_password
from pyaiot.audit.files import AuditFiles
from pyaiot.config import Config, DevicesSection
from pyaiot.web.sign_in import SignIn
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets


@asynccontextmanager
async def with_devices(folder: Path) -> AsyncIterator[tuple[Served, DeviceStore]]:
    config = Config(devices=DevicesSection(file=str(folder / "devices.db")))
    files = AuditFiles(folder / "audit", bytes_max=3_000_000, days=1)
    async with serving(devices=LocalDevices(config), audit=files) as served:
        store = DeviceStore(folder / "devices.db")
        yield served, store
        store.close()


async def test_a_device_is_added_listed_and_removed(tmp_path: Path) -> None:
    async with with_devices(tmp_path) as (served, store):
        body = {"uid": "lamp", "protocol": "mqtt"}
        async with served.web.post("/api/devices", json=body) as answer:
            assert answer.status == 201, await answer.text()
            assert answer.headers["Cache-Control"] == "no-store"
            added = await answer.json()
        assert len(added["secret"]) == 32
        assert added["secret"] in added["summary"]
        boards = [it["board"] for it in added["snippets"]]
        assert boards == ["micropython", "arduino", "riot", "shell"]
        assert all(added["secret"] in it["text"] for it in added["snippets"])
        assert added["is_local_only"]
        store.refresh()
        credential = store.credential("lamp", "mqtt")
        assert credential is not None
        assert credential.secret == digest_of_password(added["secret"])

        listed = await served.json("/api/devices")
        (device,) = listed["devices"]
        assert abs(device.pop("created_at") - time.time()) < 30
        assert device == {"uid": "lamp", "protocols": ["mqtt"]}
        assert {"name": "mqttsn", "title": "MQTT-SN", "has_credentials": False} in listed[
            "protocols"
        ]
        assert added["secret"] not in str(listed)

        for status in (204, 404):
            async with served.web.delete("/api/devices/lamp") as answer:
                assert answer.status == status
        store.refresh()
        assert not store.is_secured("lamp")
        entries = (await served.json("/api/audit"))["entries"]
        assert {it["action"] for it in entries} == {"device-add", "device-remove"}
        assert all(it["uids"] == ["lamp"] for it in entries)
        assert added["secret"] not in str(entries)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"uid": "#", "protocol": "mqtt"}, 400, "uid"),
        ({"uid": "lamp", "protocol": "pigeon"}, 400, "there is no protocol 'pigeon'"),
        ({"uid": "lamp"}, 400, "protocol"),
        ({"uid": "all", "protocol": "mqtt"}, 409, "reserved"),
        ({"uid": "twice", "protocol": "mqtt"}, 409, "has this credential already"),
    ],
)
async def test_what_cannot_be_added_is_refused_with_the_reason(
    tmp_path: Path, body: dict[str, str], status: int, words: str
) -> None:
    async with with_devices(tmp_path) as (served, _):
        first = {"uid": "twice", "protocol": "mqtt"}
        async with served.web.post("/api/devices", json=first) as answer:
            assert answer.status == 201
        async with served.web.post("/api/devices", json=body) as answer:
            assert answer.status == status
            assert words in (await answer.json())["detail"]


async def test_a_file_that_cannot_be_read_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "devices.db").write_text("no database")
    (tmp_path / "devices.db").chmod(0o600)
    config = Config(devices=DevicesSection(file=str(tmp_path / "devices.db")))
    async with serving(devices=LocalDevices(config)) as served:
        problem = await served.json("/api/devices", 503)
        assert problem["type"].endswith("devices-unavailable")


async def test_without_gateways_in_this_process_the_answer_names_the_command() -> None:
    async with serving() as served:
        nothing = {"is_here": False, "protocols": [], "devices": []}
        assert await served.json("/api/devices") == nothing
        body = {"uid": "lamp", "protocol": "mqtt"}
        async with served.web.post("/api/devices", json=body) as answer:
            assert answer.status == 404
            problem = await answer.json()
        assert problem["type"].endswith("no-devices")
        assert "aiot device add on the machine of the gateway" in problem["detail"]


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("operator", 403), ("viewer", 403)])
async def test_only_administrators_may(role: str, status: int, tmp_path: Path) -> None:
    accounts = AccountsFile(None)
    token, secret = new_token("t", role, now=0.0, life_s=None)  # type: ignore[arg-type]
    accounts.add_token(token)
    login = SignIn(accounts, behind_tls=False, viewers=True, clock=time.monotonic)
    config = Config(devices=DevicesSection(file=str(tmp_path / "devices.db")))
    headers = {"Authorization": f"Bearer {secret}"}
    async with serving(devices=LocalDevices(config), login=login) as served:
        async with served.web.get("/api/devices", headers=headers) as answer:
            assert answer.status == status
        body = {"uid": "lamp", "protocol": "mqtt"}
        async with served.web.post("/api/devices", json=body, headers=headers) as answer:
            assert answer.status == (201 if status == 200 else 403)
