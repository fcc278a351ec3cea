# SPDX-License-Identifier: BSD-3-Clause
"""`aiot backup`, `aiot restore` and `aiot upgrade-check`, on a system as its operator has it."""

import asyncio
import contextlib
import json
import re
import shutil
import sqlite3
import tarfile
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pyaiot.backup.manifest import from_bytes, to_bytes
from tests.end_to_end.test_registry_versions import CONTENT, FILE_1, POSTGRES_1, execute
from tests.history.postgres_server import running_server
from tests.programs import ANY_PORTS, Program, Programs

pytestmark = pytest.mark.sockets

RUN = ("run", *ANY_PORTS)


def data_of(programs: Programs) -> Path:
    return programs.home / ".local" / "share" / "pyaiot"


def started(programs: Programs, *flags: str) -> tuple[Program, str]:
    program = programs.aiot(*RUN, *flags)
    found = re.search(r"http://\S+/", program.startup_text())
    assert found is not None
    return program, found[0]


async def nodes_at(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(url) as web, web.get("/api/nodes") as answer:
        found: list[dict[str, Any]] = (await answer.json())["nodes"]
    return found


async def provision(url: str, label: str) -> None:
    async with (
        aiohttp.ClientSession(url) as web,
        web.post("/api/nodes", json={"nodes": [{"uid": "lamp", "label": label}]}) as answer,
    ):
        assert answer.status == 200, await answer.text()


def prepared(programs: Programs) -> None:
    """Settings, keys, a user's token, a credential of a device, and secrets in a file."""
    folder = programs.home / ".config" / "pyaiot"
    folder.mkdir(parents=True)
    secret = programs.home / "password"
    secret.write_text("moss\n", "utf-8")
    secret.chmod(0o600)
    settings = f'[broker]\ntitle = "Lab"\n[homeassistant]\npassword_file = "{secret}"\n'
    (folder / "config.toml").write_text(settings, "utf-8")
    for words in (
        ("generate-keys",),
        ("token", "add", "script"),
        ("device", "add", "board", "--protocol", "mqtt"),
    ):
        assert programs.run(*words).returncode == 0


async def test_running_system_is_backed_up_and_restored_on_another_machine(
    programs: Programs, tmp_path: Path
) -> None:
    prepared(programs)
    running, url = await asyncio.to_thread(started, programs)
    await provision(url, "Desk lamp")
    archive = tmp_path / "backup.tar.gz"
    made = await asyncio.to_thread(programs.run, "backup", archive)
    assert (made.returncode, made.stderr) == (0, "")
    for name in ("settings", "keys", "accounts", "devices", "registry", "history", "audit/"):
        assert f"  {name}" in made.stdout, name
    assert "homeassistant-password-file" in made.stdout
    assert archive.stat().st_mode & 0o777 == 0o600
    running.kill()

    there = tmp_path / "there"
    there.mkdir()
    with contextlib.closing(Programs(there)) as other:
        # The settings name a file of the first machine.
        (programs.home / "password").unlink()
        restored = await asyncio.to_thread(other.run, "restore", archive)
        assert (restored.returncode, restored.stderr) == (0, "")
        assert "script" in (await asyncio.to_thread(other.run, "token", "list")).stdout
        assert "board" in (await asyncio.to_thread(other.run, "device", "list")).stdout
        assert 'title            "Lab"' in re.sub(
            " {5,}", " " * 12, (await asyncio.to_thread(other.run, "config", "--show")).stdout
        ).replace("broker.", "")
        again, url = await asyncio.to_thread(started, other)
        (node,) = await nodes_at(url)
        assert (node["uid"], node["label"]) == ("lamp", "Desk lamp")
        again.kill()
        assert not re.search("Traceback|ERROR", again.stderr)
        assert (programs.home / "password").read_text("utf-8") == "moss\n"
        for path in (there / ".pyaiot" / "keys", data_of(other) / "accounts.db"):
            assert path.stat().st_mode & 0o777 == 0o600


async def test_restore_replaces_what_came_after_and_keeps_it(
    programs: Programs, tmp_path: Path
) -> None:
    running, url = await asyncio.to_thread(started, programs)
    await provision(url, "before")
    archive = tmp_path / "backup.tar.gz"
    assert (await asyncio.to_thread(programs.run, "backup", archive)).returncode == 0
    async with (
        aiohttp.ClientSession(url) as web,
        web.patch("/api/nodes/lamp", json={"label": "after"}, headers={"If-Match": "*"}) as answer,
    ):
        assert answer.status == 200
    refused = await asyncio.to_thread(programs.run, "restore", archive)
    assert refused.returncode == 2
    assert re.fullmatch(
        r"aiot: Pyaiot is running and uses \S+registry\.db: stop it before the restore\.\n",
        refused.stderr,
    )
    running.kill()  # leaves the write-ahead logs, which belong to the old files
    assert (await asyncio.to_thread(programs.run, "restore", archive)).returncode == 0
    running, url = await asyncio.to_thread(started, programs)
    assert [node["label"] for node in await nodes_at(url)] == ["before"]
    running.kill()
    (kept,) = data_of(programs).glob("before-restore-*")
    with contextlib.closing(sqlite3.connect(kept / "registry.db")) as db:
        assert db.execute("SELECT label FROM node").fetchall() == [("after",)]


def test_copy_of_a_history_that_is_written_is_of_one_moment(
    programs: Programs, tmp_path: Path
) -> None:
    path = programs.home / "history.db"
    shutil.copy(Path(__file__).parents[1] / "earlier" / "history.db", path)
    stop = threading.Event()

    def write() -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            number = 0
            while not stop.is_set():
                number += 1
                db.execute("BEGIN IMMEDIATE")
                for kind in ("reset", "left"):
                    db.execute(
                        "INSERT INTO event (at, kind, uid, gateway, detail, lost)"
                        " VALUES (?, ?, '', '', 'pair', 0)",
                        (number, kind),
                    )
                db.execute("COMMIT")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = programs.run("backup", tmp_path / "b.tar.gz", "--history", path)
    finally:
        stop.set()
        writer.join()
    assert made.returncode == 0
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extract("history", tmp_path, **options)
    with contextlib.closing(sqlite3.connect(tmp_path / "history")) as db:
        kinds = db.execute("SELECT kind FROM event WHERE detail = 'pair' ORDER BY id").fetchall()
    assert len(kinds) % 2 == 0


def test_history_can_be_left_out_and_stays_at_a_restore(programs: Programs, tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "earlier", data_of(programs))
    programs.key_file().rename(programs.home / "keys2")
    archive = tmp_path / "b.tar.gz"
    made = programs.run("backup", archive, "--no-history", "--key-file", programs.home / "keys2")
    assert made.returncode == 0
    assert "not in it: history: left out on request" in made.stdout
    before = (data_of(programs) / "history.db").read_bytes()
    assert programs.run("restore", archive).returncode == 0
    assert (data_of(programs) / "history.db").read_bytes() == before


@pytest.mark.parametrize("change", ["format", "schema", "damaged", "other"])
def test_archive_that_cannot_be_used_changes_nothing(
    change: str, programs: Programs, tmp_path: Path
) -> None:
    data_of(programs).mkdir(parents=True)
    path = data_of(programs) / "registry.db"
    execute(str(path), (*FILE_1, *CONTENT))
    if change == "schema":
        execute(str(path), ["PRAGMA user_version = 99"])
    archive = tmp_path / "b.tar.gz"
    assert programs.run("backup", archive).returncode == 0
    if change == "format":
        archive = repacked(archive, tmp_path, format=2, version="9.9.9")
    elif change == "damaged":
        archive.write_bytes(archive.read_bytes()[:-2000])
    elif change == "other":
        archive.write_bytes(b"PK\x03\x04 a zip file")
    before = {it: it.read_bytes() for it in data_of(programs).iterdir()}
    refused = programs.run("restore", archive)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert ("update Pyaiot" if change in ("format", "schema") else "not a complete backup") in (
        refused.stderr
    )
    assert {it: it.read_bytes() for it in data_of(programs).iterdir()} == before


def repacked(archive: Path, folder: Path, **changes: Any) -> Path:
    with tarfile.open(archive) as old:
        # Python 3.11.2, of Debian 12, has no filters yet.
        options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        old.extractall(folder / "x", **options)
    manifest = json.loads((folder / "x" / "manifest.json").read_bytes())
    (folder / "x" / "manifest.json").write_bytes(json.dumps({**manifest, **changes}).encode())
    new = folder / "changed.tar.gz"
    with tarfile.open(new, "w:gz") as made:
        for name in ("manifest.json", "registry"):
            made.add(folder / "x" / name, name)
    return new


def test_archive_of_an_older_version_is_migrated_at_the_next_start(
    programs: Programs, tmp_path: Path
) -> None:
    data_of(programs).mkdir(parents=True)
    execute(str(data_of(programs) / "registry.db"), (*FILE_1, *CONTENT))
    check = programs.run("upgrade-check")
    assert check.returncode == 0
    assert "migrates  registry   schema 1 becomes" in check.stdout
    assert "Make a backup with the old version first" in check.stdout
    archive = tmp_path / "b.tar.gz"
    assert programs.run("backup", archive).returncode == 0
    shutil.rmtree(data_of(programs))
    assert programs.run("restore", archive).returncode == 0
    running, url = started(programs)
    assert {node["uid"] for node in asyncio.run(nodes_at(url))} >= {"kept"}
    running.kill()
    assert "nothing to do" in programs.run("upgrade-check").stdout


def test_upgrade_check_names_data_of_a_newer_version_and_wrong_settings(programs: Programs) -> None:
    data_of(programs).mkdir(parents=True)
    execute(str(data_of(programs) / "registry.db"), (*FILE_1, "PRAGMA user_version = 99"))
    settings = programs.home / "c.toml"
    settings.write_text("[broker]\ncolour = 1\n", "utf-8")
    folder = programs.home / "folder"
    folder.mkdir()
    in_place_of_file = programs.run("upgrade-check", "--history", folder)
    assert in_place_of_file.returncode == 1
    assert f"wrong     history    {folder}" in in_place_of_file.stdout
    check = programs.run("upgrade-check", "--config", settings)
    assert check.returncode == 1
    assert "wrong     settings" in check.stdout
    assert "wrong     registry" in check.stdout
    assert "schema 99 of a newer version" in check.stdout
    assert check.stderr == "aiot: do not upgrade before this is solved.\n"


def test_settings_that_cannot_be_written_are_named_and_nothing_is_restored(
    programs: Programs, tmp_path: Path
) -> None:
    prepared(programs)
    archive = tmp_path / "b.tar.gz"
    assert programs.run("backup", archive).returncode == 0
    # Not even root makes a folder there.
    refused = programs.run("restore", archive, "--config", "/sys/c.toml")
    assert refused.returncode == 2
    assert "--keep-settings leaves it out" in refused.stderr


def test_interrupted_restore_keeps_services_from_starting(programs: Programs) -> None:
    data_of(programs).mkdir(parents=True)
    (data_of(programs) / "restore.journal").write_bytes(b'{"steps":[]}')
    refused = programs.run(*RUN)
    assert (refused.returncode, refused.stderr.count("aiot restore --finish")) == (2, 1)
    assert programs.run("restore", "--finish").stdout == "The restore is finished: 0 files.\n"
    running, _ = started(programs)
    running.kill()


async def test_registry_in_postgresql_is_backed_up_and_restored(
    programs: Programs, tmp_path: Path
) -> None:
    archive = tmp_path / "b.tar.gz"
    with running_server() as server:
        where = ("--registry", server.url, "--history", "off")
        await asyncio.to_thread(execute, server.url, (*POSTGRES_1, *CONTENT))
        running, url = await asyncio.to_thread(started, programs, *where)
        before = await nodes_at(url)
        made = await asyncio.to_thread(programs.run, "backup", archive, *where)
        assert (made.returncode, made.stderr) == (0, "")
        await provision(url, "after")
        refused = await asyncio.to_thread(programs.run, "restore", archive, *where)
        assert (refused.returncode, "another Pyaiot writes" in refused.stderr) == (2, True)
        running.kill()
        restored = await asyncio.to_thread(programs.run, "restore", archive, *where)
        assert (restored.returncode, restored.stderr) == (0, "")
        running, url = await asyncio.to_thread(started, programs, *where)
        assert await nodes_at(url) == before
        running.kill()
        # The same archive, into a file.
        assert (await asyncio.to_thread(programs.run, "restore", archive)).returncode == 0
        running, url = await asyncio.to_thread(started, programs)
        assert await nodes_at(url) == before
        running.kill()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("backup", "b.tar.gz"), "There is nothing to back up"),
        (("backup", "none/b.tar.gz"), "There is no folder none"),
        (("restore",), "Name an archive that aiot backup made"),
        (("restore", "none"), "none cannot be read: No such file"),
        (("restore", "x", "--finish"), "--finish takes no archive"),
        (("restore", "--finish"), "No restore of"),
    ],
)
def test_wrong_input_is_one_sentence(
    words: tuple[str, ...], sentence: str, programs: Programs
) -> None:
    result = programs.run(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"aiot: {sentence}")
    assert result.stderr.count("\n") == 1


def test_manifest_names_every_file_with_its_checksum(programs: Programs, tmp_path: Path) -> None:
    prepared(programs)
    assert programs.run("backup", tmp_path).returncode == 0
    (archive,) = tmp_path.glob("pyaiot-*.tar.gz")
    with tarfile.open(archive) as packed:
        names = packed.getnames()
        file = packed.extractfile("manifest.json")
        assert file is not None
        manifest = from_bytes(file.read())
    assert names == ["manifest.json", *(member.name for member in manifest.members)]
    assert from_bytes(to_bytes(manifest)) == manifest
    assert "moss" not in to_bytes(manifest).decode()
