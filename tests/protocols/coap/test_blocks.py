# SPDX-License-Identifier: BSD-3-Clause
"""Bodies in blocks: whole, in any size, too large, out of order, forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError, Refused
from pyaiot.protocols.coap.blocks import (
    ASSEMBLIES_PER_PEER_MAX,
    ASSEMBLY_LIFE_S,
    BODY_BYTES_MAX,
    Assemblies,
    BlockResult,
    Download,
    Upload,
)
from pyaiot.protocols.coap.message import Block
from pyaiot.protocols.coap.numbers import Code

BODY = bytes(range(256)) * 16


def option(num: int, more: bool, szx: int) -> bytes:
    return Block(num, more, szx).to_bytes()


def piece(body: bytes, num: int, szx: int) -> tuple[bytes, bytes]:
    size = 16 << szx
    part = body[num * size : (num + 1) * size]
    return option(num, (num + 1) * size < len(body), szx), part


# -- downloads -------------------------------------------------------------------------------------


@given(st.integers(0, 6), st.integers(0, 3000))
def test_download_in_any_block_size_is_complete(szx: int, length: int) -> None:
    body = (BODY * 2)[:length]
    download = Download()
    wanted: Block | None = Block(0, False, szx)
    while wanted is not None:
        assert not wanted.more
        block1, part = piece(body, wanted.num, wanted.szx)
        wanted = download.add(block1, b"v", part)
    assert download.body == body


def test_answer_without_blocks_is_complete() -> None:
    download = Download()
    assert download.add(None, None, b"23.5") is None
    assert download.body == b"23.5"


def test_node_may_choose_smaller_blocks_than_requested() -> None:
    download = Download()
    assert download.add(option(0, True, 2), None, b"x" * 64) == Block(1, False, 2)


@pytest.mark.parametrize(
    ("second", "etag", "payload"),
    [
        (option(2, False, 2), b"v", b"y"),
        (option(0, True, 2), b"v", b"x" * 64),
        (option(1, True, 2), b"v", b"y" * 63),
        (option(1, False, 2), b"w", b"y"),
        (None, b"v", b"y"),
        (b"\x17", b"v", b"y"),
    ],
    ids=["gap", "again", "short", "changed", "no block", "reserved size"],
)
def test_download_that_goes_wrong_is_given_up(
    second: bytes | None, etag: bytes, payload: bytes
) -> None:
    download = Download()
    download.add(option(0, True, 2), b"v", b"x" * 64)
    with pytest.raises(ProtocolError):
        download.add(second, etag, payload)


def test_download_without_end_is_given_up_at_64_kib() -> None:
    download = Download()
    for num in range(BODY_BYTES_MAX // 1024):
        download.add(option(num, True, 6), None, b"x" * 1024)
    with pytest.raises(Refused):
        download.add(option(num + 1, True, 6), None, b"x" * 1024)


def test_download_in_tiny_blocks_is_given_up_after_256_of_them() -> None:
    """Of 16 bytes, 64 KiB are 4,096 requests to one node."""
    download = Download()
    for num in range(255):
        download.add(option(num, True, 0), None, b"x" * 16)
    with pytest.raises(Refused, match="256 blocks"):
        download.add(option(255, True, 0), None, b"x" * 16)


# -- uploads ---------------------------------------------------------------------------------------


@given(st.integers(0, 6), st.integers(1, 4096))
def test_upload_in_any_block_size_is_complete(szx: int, length: int) -> None:
    upload, got, more = Upload(BODY[:length], szx), b"", True
    while more:
        block, part = upload.block()
        assert block.offset == len(got)
        got += part
        code = Code.CONTINUE if block.more else Code.CHANGED
        more = upload.receive_response(code, block.to_bytes())
    assert got == BODY[:length]


def test_upload_goes_on_in_the_smaller_blocks_that_the_node_names() -> None:
    upload = Upload(BODY, 6)
    assert upload.block()[0] == Block(0, True, 6)
    assert upload.receive_response(Code.CONTINUE, option(0, True, 2))
    assert upload.block() == (Block(16, True, 2), BODY[1024:1088])


def test_upload_begins_again_in_the_smaller_blocks_of_a_413() -> None:
    upload = Upload(BODY, 6)
    assert upload.receive_response(Code.REQUEST_ENTITY_TOO_LARGE, option(0, True, 2))
    assert upload.block() == (Block(0, True, 2), BODY[:64])
    assert not upload.receive_response(Code.REQUEST_ENTITY_TOO_LARGE, option(0, True, 2))
    assert not Upload(BODY, 6).receive_response(Code.REQUEST_ENTITY_TOO_LARGE, None)


def test_continue_for_another_block_is_wrong() -> None:
    for block1 in (None, option(1, True, 6)):
        with pytest.raises(ProtocolError):
            Upload(BODY, 6).receive_response(Code.CONTINUE, block1)
    with pytest.raises(ProtocolError):
        Upload(b"short", 6).receive_response(Code.CONTINUE, option(0, False, 6))


# -- assemblies ------------------------------------------------------------------------------------


def send(
    assemblies: Assemblies, num: int, szx: int = 6, *, peer: str = "A", path: str = "p",
    body: bytes = BODY, now: float = 0.0,
) -> BlockResult:  # fmt: skip
    block1, part = piece(body, num, szx)
    return assemblies.receive_block(peer, path, block1, part, now=now)


@given(st.integers(0, 6), st.integers(1, 3000))
def test_body_in_any_size_is_assembled(szx: int, length: int) -> None:
    assemblies, body = Assemblies(2), BODY[:length]
    for num in range((length - 1) // (16 << szx) + 1):
        taken = send(assemblies, num, szx, body=body)
    assert taken.body == body
    assert len(assemblies) == 0


def test_block_that_comes_again_is_answered_again() -> None:
    assemblies = Assemblies(2)
    for num in (0, 0, 1, 1, 2):
        assert send(assemblies, num) == BlockResult(Code.CONTINUE)
    assert send(assemblies, 3) == BlockResult(Code.CHANGED, BODY)


def test_block_that_is_missing_makes_it_incomplete() -> None:
    assemblies = Assemblies(2)
    assert send(assemblies, 1) == BlockResult(Code.REQUEST_ENTITY_INCOMPLETE)
    send(assemblies, 0)
    assert send(assemblies, 2) == BlockResult(Code.REQUEST_ENTITY_INCOMPLETE)
    assert len(assemblies) == 0


def test_body_over_64_kib_is_too_large_as_soon_as_that_is_known() -> None:
    assemblies = Assemblies(2)
    too_large = BlockResult(Code.REQUEST_ENTITY_TOO_LARGE)
    first = option(0, True, 6), b"x" * 1024
    assert (
        assemblies.receive_block("A", "p", *first, size1=BODY_BYTES_MAX + 1, now=0.0) == too_large
    )
    for num in range(64):
        taken = assemblies.receive_block("A", "p", option(num, True, 6), b"x" * 1024, now=0.0)
        assert taken == BlockResult(Code.CONTINUE)
    assert assemblies.receive_block("A", "p", option(64, False, 6), b"x", now=0.0) == too_large
    assert len(assemblies) == 0


def test_block_that_is_not_full_is_a_bad_request() -> None:
    assemblies = Assemblies(2)
    assert (
        assemblies.receive_block("A", "p", option(0, True, 6), b"x", now=0.0).code
        == Code.BAD_REQUEST
    )
    with pytest.raises(ProtocolError):
        assemblies.receive_block("A", "p", b"\x0f", b"x" * 1024, now=0.0)


def test_peer_that_begins_too_many_loses_its_own_oldest() -> None:
    assemblies = Assemblies(10)
    send(assemblies, 0, peer="B")
    for number in range(ASSEMBLIES_PER_PEER_MAX + 1):
        send(assemblies, 0, path=str(number))
    assert len(assemblies) == ASSEMBLIES_PER_PEER_MAX + 1
    assert send(assemblies, 1, path="0").code == Code.REQUEST_ENTITY_INCOMPLETE
    assert send(assemblies, 1, path="1").code == Code.CONTINUE
    assert send(assemblies, 1, peer="B").code == Code.CONTINUE


def test_too_many_in_all_push_out_the_one_that_waits_longest() -> None:
    assemblies = Assemblies(3)
    for peer in "ABC":
        send(assemblies, 0, peer=peer)
    send(assemblies, 1, peer="A")
    send(assemblies, 0, peer="D")
    assert len(assemblies) == 3
    assert send(assemblies, 1, peer="B").code == Code.REQUEST_ENTITY_INCOMPLETE
    assert send(assemblies, 2, peer="A").code == Code.CONTINUE


def test_body_whose_next_block_does_not_come_is_forgotten() -> None:
    assemblies = Assemblies(3)
    send(assemblies, 0)
    assert send(assemblies, 1, now=ASSEMBLY_LIFE_S - 1).code == Code.CONTINUE
    assert send(assemblies, 0, peer="B", now=2 * ASSEMBLY_LIFE_S - 2).code == Code.CONTINUE
    late = send(assemblies, 2, now=2 * ASSEMBLY_LIFE_S)
    assert late.code == Code.REQUEST_ENTITY_INCOMPLETE
    assert len(assemblies) == 1
