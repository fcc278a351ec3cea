# SPDX-License-Identifier: BSD-3-Clause
"""The audit log of a running broker: when entries are written, and what happens if they are not."""

import asyncio
import errno
import logging
from collections.abc import Iterable
from pathlib import Path

import pytest

from pyaiot.audit import log as audit_log
from pyaiot.audit.entry import AuditEntry, Principal
from pyaiot.audit.files import AuditFiles, AuditFilter
from pyaiot.audit.log import AuditBusy, AuditLog
from pyaiot.audit.metrics import collect
from tests.web.serving import eventually

ADA = Principal("user:ada", "192.0.2.1")


class FullDisk(AuditFiles):
    """Files on a disk that can be full."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, bytes_max=3_000_000, days=1)
        self.is_full = False

    def append(self, entries: Iterable[AuditEntry]) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(entries)


def log_on(files: AuditFiles | None) -> AuditLog:
    loop = asyncio.get_running_loop()
    return AuditLog(files, unix_time=lambda: 1000.0 + loop.time(), clock=loop.time)


async def found(log: AuditLog, **conditions: str) -> list[AuditEntry]:
    entries, _ = await log.page(AuditFilter(**conditions), 1000, "")  # type: ignore[arg-type]
    return entries


@pytest.mark.sockets
async def test_entries_are_on_disk_half_a_second_later_and_at_the_end(tmp_path: Path) -> None:
    log = log_on(AuditFiles(tmp_path, bytes_max=3_000_000, days=1))
    async with log.running():
        log.record(ADA, "edit", uids=["n"])
        assert log.recorded == 0, "record does not write"
        await eventually(lambda: log.recorded == 1)
        log.record(ADA, "forget", uids=["n"])
    text = (tmp_path / "changes-000001.jsonl").read_text()
    assert [line.split('"')[5] for line in text.splitlines()] == ["edit", "forget"]


@pytest.mark.sockets(speed=20)
async def test_full_disk_is_reported_once_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = FullDisk(tmp_path)
    log = log_on(files)
    caplog.set_level(logging.INFO)
    async with log.running():
        files.is_full = True
        log.record(ADA, "edit", uids=["n"])
        await eventually(lambda: log.failures >= 2)
        assert await log.check() == "cannot be written: No space left on device"
        samples = {sample.metric.name: sample.value for sample in collect(log)}
        assert samples["pyaiot_audit_well"] == 0
        assert samples["pyaiot_audit_waiting_entries"] == 1
        log.record(ADA, "forget", uids=["n"])
        files.is_full = False
        await eventually(lambda: log.recorded == 2)
        assert await log.check() == ""
        assert [it.action for it in await found(log)] == ["forget", "edit"]
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "the audit log cannot be written: No space left on device",
        "the audit log is written again",
    ]


@pytest.mark.sockets(speed=20)
async def test_entries_that_wait_are_limited_and_lost_ones_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "ENTRIES_WAITING_MAX", 5)
    files = FullDisk(tmp_path)
    files.is_full = True
    log = log_on(files)
    async with log.running():
        for _ in range(8):
            log.record(ADA, "edit", uids=["n"])
        assert (log.waiting, log.lost) == (5, 3)
        await eventually(lambda: log.failures > 0)
        files.is_full = False
        await eventually(lambda: log.waiting == 0)
        report, *edits = await found(log)
        assert (report.action, report.result) == ("audit", "failed")
        assert report.detail == "3 entries were lost before this one"
        assert [it.action for it in edits] == ["edit"] * 5


@pytest.mark.sockets
async def test_refused_attempts_have_a_share_and_commands_of_known_clients_do_not(
    tmp_path: Path,
) -> None:
    log = log_on(AuditFiles(tmp_path, bytes_max=3_000_000, days=1))
    async with log.running():
        for _ in range(30):
            log.record(ADA, "sign-in", "refused")
            log.record(ADA, "command", "confirmed", uids=["n"], resource="led")
        assert len(await found(log, action="sign-in")) == 10
        assert len(await found(log, action="command")) == 30
        assert log.shares.suppressed == 20


@pytest.mark.sockets
async def test_queries_that_wait_are_limited(tmp_path: Path) -> None:
    log = log_on(AuditFiles(tmp_path, bytes_max=3_000_000, days=1))
    async with log.running():
        tasks = [asyncio.create_task(found(log)) for _ in range(20)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
    busy = [it for it in results if isinstance(it, AuditBusy)]
    assert len(busy) == 20 - 1 - audit_log.QUERIES_WAITING_MAX


@pytest.mark.sockets
async def test_log_that_is_off_records_nothing() -> None:
    log = log_on(None)
    async with log.running():
        log.record(ADA, "edit")
        assert (log.is_on, log.waiting, await found(log)) == (False, 0, [])


@pytest.mark.sockets
async def test_addresses_of_one_ipv6_network_share_the_entries_of_refused_attempts(
    tmp_path: Path,
) -> None:
    log = log_on(AuditFiles(tmp_path, bytes_max=3_000_000, days=1))
    async with log.running():
        for n in range(200):
            log.record(Principal("anonymous", f"2001:db8:1:2::{n:x}"), "sign-in", "refused")
        log.record(Principal("anonymous", "192.0.2.9"), "sign-in", "refused")
        entries = await found(log)
    assert len(entries) == 11
    assert entries[0].address == "192.0.2.9"
