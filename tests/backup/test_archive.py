# SPDX-License-Identifier: BSD-3-Clause
"""The archive of a backup: all of it, or a sentence."""

import io
import tarfile
from pathlib import Path

import pytest

from pyaiot.backup.archive import extract, member_of, read_manifest, write_archive
from pyaiot.backup.manifest import Manifest, Member, to_bytes
from pyaiot.errors import OperatorError


def made(folder: Path, **files: bytes) -> tuple[Manifest, dict[str, Path]]:
    paths = {}
    for name, content in files.items():
        paths[name] = folder / f"source-{name}"
        paths[name].write_bytes(content)
    members = tuple(member_of(name, path) for name, path in paths.items())
    return Manifest(format=1, version="0.1.0", created_at=1.8e9, members=members), paths


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "backup.tar.gz"
    write_archive(path, *made(tmp_path, keys=b"secret" * 1000, registry=bytes(range(256))))
    return path


def test_members_come_out_as_they_went_in_for_their_owner_only(
    archive: Path, tmp_path: Path
) -> None:
    manifest = extract(archive, tmp_path / "out")
    assert [member.name for member in manifest.members] == ["keys", "registry"]
    assert (tmp_path / "out" / "keys").read_bytes() == b"secret" * 1000
    assert (tmp_path / "out" / "registry").read_bytes() == bytes(range(256))
    assert archive.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "out" / "keys").stat().st_mode & 0o777 == 0o600
    assert read_manifest(archive) == manifest


def test_file_that_exists_is_not_replaced(archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(OperatorError, match="exists: name another file"):
        write_archive(archive, *made(tmp_path, keys=b"x"))
    assert archive.read_bytes() == before


def test_failed_write_leaves_no_file(tmp_path: Path) -> None:
    manifest, files = made(tmp_path, keys=b"x")
    files["keys"].unlink()
    with pytest.raises(OperatorError, match="cannot be written"):
        write_archive(tmp_path / "b.tar.gz", manifest, files)
    assert not list(tmp_path.glob("*b.tar.gz*"))


def test_every_cut_of_an_archive_is_refused_unless_only_padding_is_missing(
    archive: Path, tmp_path: Path
) -> None:
    whole = archive.read_bytes()
    cut = tmp_path / "cut"
    accepted = [
        length
        for length in [*range(0, len(whole) - 1, 7), len(whole) - 1]
        if is_accepted(cut, whole[:length], tmp_path / f"out-{length}")
    ]
    assert not accepted or min(accepted) > len(whole) - 60


def test_changed_byte_is_refused_or_changes_nothing(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    refused = 0
    for index in range(0, len(whole), 7):
        data = whole[:index] + bytes([whole[index] ^ 0x41]) + whole[index + 1 :]
        refused += not is_accepted(tmp_path / "changed", data, tmp_path / f"out-{index}")
    assert refused > len(whole) // 7 // 2


def is_accepted(path: Path, data: bytes, out: Path) -> bool:
    """Whether it is extracted, and then as it was made."""
    path.write_bytes(data)
    try:
        extract(path, out)
    except OperatorError:
        return False
    assert (out / "keys").read_bytes() == b"secret" * 1000
    assert (out / "registry").read_bytes() == bytes(range(256))
    return True


def packed(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def test_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    manifest, _ = made(tmp_path, keys=b"x")
    link = tarfile.TarInfo("keys")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    packed(tmp_path / "a", (tarfile.TarInfo("manifest.json"), to_bytes(manifest)), (link, b""))
    with pytest.raises(OperatorError, match="'keys' is not a file"):
        extract(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("keys",), "no manifest"),
        (("manifest.json",), "keys is missing"),
        (("manifest.json", "other"), "keys is missing"),
        (("manifest.json", "keys", "more"), "more files"),
    ],
)
def test_file_too_many_or_too_few_is_refused(
    names: tuple[str, ...], problem: str, tmp_path: Path
) -> None:
    manifest, _ = made(tmp_path, keys=b"x")
    content = {"manifest.json": to_bytes(manifest)}
    packed(tmp_path / "a", *((tarfile.TarInfo(it), content.get(it, b"x")) for it in names))
    with pytest.raises(OperatorError, match=problem):
        extract(tmp_path / "a", tmp_path / "out")


def test_content_longer_than_its_size_is_not_written(tmp_path: Path) -> None:
    manifest = Manifest(
        format=1,
        version="0.1.0",
        created_at=0,
        members=(Member(name="keys", size=1, sha256="0" * 64),),
    )
    packed(
        tmp_path / "a",
        (tarfile.TarInfo("manifest.json"), to_bytes(manifest)),
        (tarfile.TarInfo("keys"), bytes(5_000_000)),
    )
    with pytest.raises(OperatorError, match="checksum"):
        extract(tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out" / "keys").stat().st_size == 0
