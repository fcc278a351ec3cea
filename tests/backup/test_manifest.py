# SPDX-License-Identifier: BSD-3-Clause
"""The manifest of a backup."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.backup.manifest import (
    MANIFEST_BYTES_MAX,
    MEMBERS_MAX,
    Manifest,
    Member,
    NewerBackup,
    from_bytes,
    to_bytes,
)
from pyaiot.errors import ProtocolError

DIGEST = "0" * 64


def a_member(name: str) -> dict[str, Any]:
    return {"name": name, "size": 1, "sha256": DIGEST}


def a_manifest(**changes: Any) -> bytes:
    content = {"format": 1, "version": "0.1.0", "created_at": 1.5, "members": [a_member("keys")]}
    return json.dumps({**content, **changes}).encode()


@given(
    st.lists(
        st.builds(
            Member,
            name=st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True),
            size=st.integers(0, 2**44),
            sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
            schema=st.integers(0, 1000),
        ),
        unique_by=lambda member: member.name,
        max_size=4,
    )
)
def test_manifest_is_read_as_it_was_written(members: list[Member]) -> None:
    manifest = Manifest(format=1, version="0.1.0", created_at=0.25, members=tuple(members))
    assert from_bytes(to_bytes(manifest)) == manifest


@given(st.binary(max_size=300))
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        from_bytes(data)


@pytest.mark.parametrize(
    "name",
    ["../keys", "/etc/passwd", "audit/../../x", "a/b/c", "audit/", "", "Keys", "audit/.hidden"],
)
def test_path_that_leaves_the_folder_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match="names a file"):
        from_bytes(a_manifest(members=[a_member(name)]))


def test_file_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ProtocolError, match="twice"):
        from_bytes(a_manifest(members=[a_member("keys"), a_member("keys")]))


def test_newer_format_is_refused_whatever_else_it_has() -> None:
    with pytest.raises(NewerBackup, match=r"'7\.0'"):
        from_bytes(json.dumps({"format": 2, "version": "7.0", "members": "else"}).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"members": [{**a_member("keys"), "size": -1}]},
        {"members": [{**a_member("keys"), "sha256": "f"}]},
        {"members": [a_member(f"audit/{number}") for number in range(MEMBERS_MAX + 1)]},
        {"left_out": ["x" * MANIFEST_BYTES_MAX]},
    ],
)
def test_value_beyond_its_limit_is_refused(changes: dict[str, Any]) -> None:
    from_bytes(a_manifest())
    with pytest.raises(ProtocolError):
        from_bytes(a_manifest(**changes))
