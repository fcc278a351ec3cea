# SPDX-License-Identifier: BSD-3-Clause
"""Block-wise transfer (RFC 7959) in both directions. Pure.

`now` is the loop's time in seconds.
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Final, NamedTuple

import msgspec

from pyaiot.errors import NotEnoughBytes, ProtocolError, Refused
from pyaiot.protocols.coap.message import Block
from pyaiot.protocols.coap.numbers import Code

BODY_BYTES_MAX: Final = 64 * 1024
"""Bytes of a body in blocks, in either direction. Larger: 4.13, or the response is discarded."""
DOWNLOAD_BLOCKS_MAX: Final = 256
"""Blocks of one response, each of which costs a request. More: the response is discarded."""
UPLOAD_BLOCKS_MAX: Final = 1024
"""Blocks of one payload: 64 KiB in blocks of 64 bytes. A command that would need more is
refused."""
ASSEMBLIES_PER_PEER_MAX: Final = 2
"""Bodies that one address sends at the same time. Beyond that, its oldest is dropped (4.08)."""
ASSEMBLY_LIFE_S: Final = 60.0
"""How long the next block of a body may take. Then the body is dropped (4.08)."""
SZX_MAX: Final = 6
"""Size exponent of blocks of 1,024 bytes, the largest of RFC 7959."""


class Download:
    """The body of a response in Block2 blocks (RFC 7959 section 2.4)."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._etag: bytes | None = None
        self._blocks = 0

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def add(self, option: bytes | None, etag: bytes | None, payload: bytes) -> Block | None:
        """Take a response. Returns the block to request next; None: the body is complete.

        Raises `ProtocolError` for a block that was not requested, and if the resource has changed
        since the first block, `Refused` for a body that is too large or has too many blocks.
        """
        if option is None:
            if self._body:
                raise ProtocolError("a later block has no Block2 option")
            self._body += payload
            return None
        block = Block.from_bytes(option)
        if block.offset != len(self._body):
            raise ProtocolError(f"unexpected block {block}: the next byte is {len(self._body)}")
        if self._body and etag != self._etag:
            raise ProtocolError("the resource changed during the transfer")
        if block.more and len(payload) != block.size:
            raise NotEnoughBytes(f"block {block} has {len(payload)} bytes")
        self._etag = etag
        self._body += payload
        if len(self._body) > BODY_BYTES_MAX:
            raise Refused(f"the body has more than {BODY_BYTES_MAX} bytes")
        self._blocks += 1
        if block.more and self._blocks >= DOWNLOAD_BLOCKS_MAX:
            raise Refused(f"the body has more than {DOWNLOAD_BLOCKS_MAX} blocks")
        return Block(block.num + 1, False, block.szx) if block.more else None


class Upload:
    """A body that is sent in Block1 blocks (section 2.5)."""

    def __init__(self, body: bytes, szx: int = SZX_MAX) -> None:
        self._body = body
        self._at = 0
        self._szx = szx

    def block(self) -> tuple[Block, bytes]:
        """The next block to send, and its bytes."""
        end = self._at + (16 << self._szx)
        block = Block(self._at >> self._szx + 4, end < len(self._body), self._szx)
        return block, self._body[self._at : end]

    def receive_response(self, code: int, option: bytes | None) -> bool:
        """Take the response to the block. Returns whether to send another one.

        Raises `ProtocolError` for a 2.31 that does not acknowledge the block that was sent,
        `Refused` if its block size would require too many further blocks.
        """
        sent, piece = self.block()
        if code == Code.REQUEST_ENTITY_TOO_LARGE and self._at == 0:
            # Section 2.9.3: if the response has a smaller block size, start again with it.
            smaller = None if option is None else Block.from_bytes(option).szx
            if smaller is not None and smaller < self._szx:
                self._szx = smaller
                self._check_blocks_left()
                return True
        if code != Code.CONTINUE:
            return False
        if option is None or Block.from_bytes(option).num != sent.num or not sent.more:
            raise ProtocolError("2.31 for a block that was not sent")
        self._at += len(piece)
        # Section 2.3: a smaller block size in the response applies from the next block on.
        self._szx = min(self._szx, Block.from_bytes(option).szx)
        self._check_blocks_left()
        return True

    def _check_blocks_left(self) -> None:
        size = 16 << self._szx
        blocks = -(-(len(self._body) - self._at) // size)
        if blocks > UPLOAD_BLOCKS_MAX:
            raise Refused(
                f"the node accepts blocks of {size} bytes: {blocks:,} blocks are too many"
            )


class BlockResult(NamedTuple):
    """The result of a block: a code to answer (2.31 or an error), or the complete body."""

    code: Code
    body: bytes | None = None


class _Assembly(msgspec.Struct):
    peer: Hashable
    updated_at: float
    body: bytearray = msgspec.field(default_factory=bytearray)


class Assemblies:
    """Bodies that peers send in Block1 blocks (section 2.5), limited per peer and in total."""

    def __init__(self, assemblies_max: int) -> None:
        """Beyond `assemblies_max` bodies in total, the oldest is dropped."""
        self._max = assemblies_max
        self._assemblies: OrderedDict[Hashable, _Assembly] = OrderedDict()
        self._of_peer: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._assemblies)

    def receive_block(
        self,
        peer: Hashable,
        request: Hashable,
        option: bytes,
        payload: bytes,
        *,
        size1: int | None = None,
        now: float,
    ) -> BlockResult:
        """Take a block. `request` distinguishes bodies of one peer: method, path, Request-Tag.

        Raises `ProtocolError` for a malformed option.
        """
        block = Block.from_bytes(option)
        key = peer, request
        self._expire(now)
        end = block.offset + len(payload)
        if max(end, size1 or 0) > BODY_BYTES_MAX:
            self._forget(key)
            return BlockResult(Code.REQUEST_ENTITY_TOO_LARGE)
        if block.more and len(payload) != block.size:
            self._forget(key)
            return BlockResult(Code.BAD_REQUEST)
        if block.num == 0:
            self._forget(key)
            self._begin(key, peer, now)
        assembly = self._assemblies.get(key)
        # Section 2.9.2, also for a body that was dropped. A repeated block is a duplicate.
        if assembly is None or len(assembly.body) not in (block.offset, end):
            self._forget(key)
            return BlockResult(Code.REQUEST_ENTITY_INCOMPLETE)
        assembly.updated_at = now
        self._assemblies.move_to_end(key)
        if len(assembly.body) == block.offset:
            assembly.body += payload
        if block.more:
            return BlockResult(Code.CONTINUE)
        self._forget(key)
        return BlockResult(Code.CHANGED, bytes(assembly.body))

    def _begin(self, key: Hashable, peer: Hashable, now: float) -> None:
        if self._of_peer[peer] >= ASSEMBLIES_PER_PEER_MAX:
            self._forget(next(of for of, item in self._assemblies.items() if item.peer == peer))
        elif len(self._assemblies) >= self._max:
            self._forget(next(iter(self._assemblies)))
        self._assemblies[key] = _Assembly(peer, now)
        self._of_peer[peer] += 1

    def _expire(self, now: float) -> None:
        while self._assemblies:
            key, oldest = next(iter(self._assemblies.items()))
            if now - oldest.updated_at < ASSEMBLY_LIFE_S:
                return
            self._forget(key)

    def _forget(self, key: Hashable) -> None:
        assembly = self._assemblies.pop(key, None)
        if assembly is not None:
            self._of_peer[assembly.peer] -= 1
            if not self._of_peer[assembly.peer]:
                del self._of_peer[assembly.peer]
