# SPDX-License-Identifier: BSD-3-Clause
"""Block-wise transfer of request bodies and responses (RFC 7959), within limits.

aiocoap itself has no limit on the number and size of bodies, and answers unverified peers in blocks
of 1,024 bytes.
"""

import hashlib
from collections.abc import Callable
from typing import Final

import aiocoap

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.aiocoap_adapter import request_bytes
from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.coap.blocks import BODY_BYTES_MAX, SZX_MAX, Assemblies
from pyaiot.protocols.coap.message import Block, encode_uint
from pyaiot.protocols.coap.numbers import Code, OptionNumber
from pyaiot.transport.peers import PeerAddress

ASSEMBLIES_MAX: Final = 256
"""Bodies that known nodes send at the same time. Beyond that, the oldest is dropped (4.08)."""
UNKNOWN_ASSEMBLIES_MAX: Final = 32
"""The same for unknown peers."""
_OVERHEAD_BYTES: Final = 20
"""Bytes of a response without payload: header, ETag, Content-Format, Block2, payload marker."""


class BlockwiseBodies:
    """Assembles request bodies, and splits responses into blocks."""

    def __init__(self, is_node: Callable[[PeerAddress], bool], time: Callable[[], float]) -> None:
        self._is_node = is_node
        self._time = time
        self._of_nodes = Assemblies(ASSEMBLIES_MAX)
        self._of_unknown = Assemblies(UNKNOWN_ASSEMBLIES_MAX)

    def complete_body(self, request: aiocoap.Message) -> bytes | aiocoap.Message:
        """The body of a request, or the response to a block that does not complete it."""
        block = request.opt.block1
        if block is None:
            return bytes(request.payload)
        address = request.remote.peer.address
        assemblies = self._of_nodes if self._is_node(address) else self._of_unknown
        tags = tuple(
            option.encode()
            for option in request.opt.option_list()
            if option.number in (OptionNumber.REQUEST_TAG, OptionNumber.URI_QUERY)
        )
        try:
            result = assemblies.receive_block(
                address,
                (int(request.code), tuple(request.opt.uri_path), tags),
                encode_uint(block.block_number << 4 | block.more << 3 | block.size_exponent),
                request.payload,
                size1=request.opt.size1,
                now=self._time(),
            )
        except ProtocolError as error:
            return aiocoap.Message(code=aiocoap.BAD_REQUEST, payload=str(error).encode())
        if result.body is not None:
            return result.body
        response = aiocoap.Message(code=aiocoap.Code(int(result.code)))
        return acknowledged(request, response)

    def respond(
        self, request: aiocoap.Message, body: bytes, content_format: int
    ) -> aiocoap.Message:
        """2.05 with the requested block of the body, in a block size that may be sent there."""
        szx = SZX_MAX
        if not self._is_node(request.remote.peer.address):
            room = AMPLIFICATION_MAX * request_bytes(request) - _OVERHEAD_BYTES
            while szx and 16 << szx > room:
                szx -= 1
        block2 = request.opt.block2
        block = Block(0, False, szx)
        if block2 is not None:
            szx = min(szx, block2.size_exponent)
            # The same offset in smaller blocks, if the requested ones are too large.
            block = Block((block2.block_number << block2.size_exponent) >> szx, False, szx)
        piece = body[block.offset : block.offset + block.size]
        if not piece and block.num:
            return aiocoap.Message(code=aiocoap.BAD_OPTION)
        response = aiocoap.Message(
            code=aiocoap.CONTENT, payload=piece, content_format=content_format
        )
        if block2 is not None or len(body) > block.size:
            response.opt.block2 = block.num, block.offset + block.size < len(body), szx
            # Section 2.4: the client must not combine blocks of two versions.
            response.opt.etag = hashlib.blake2b(body, digest_size=4).digest()
        return response


def acknowledged(request: aiocoap.Message, response: aiocoap.Message) -> aiocoap.Message:
    """Add the Block1 option of the request to its response (section 2.3)."""
    block1 = request.opt.block1
    if block1 is not None:
        response.opt.block1 = block1.block_number, block1.more, block1.size_exponent
        if response.code == Code.REQUEST_ENTITY_TOO_LARGE:
            response.opt.size1 = BODY_BYTES_MAX
    return response
