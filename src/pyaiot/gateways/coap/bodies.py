# SPDX-License-Identifier: BSD-3-Clause
"""Bodies of requests that come in blocks, and answers in blocks (RFC 7959), within limits.

aiocoap would put any number of bodies together, of any size, and answer anybody with 1,024 bytes.
"""

import hashlib
from collections.abc import Callable
from typing import Final

import aiocoap

from pyaiot.errors import ProtocolError
from pyaiot.gateways.coap.aiocoap_adapter import request_bytes
from pyaiot.gateways.coap.peers import Address
from pyaiot.protocols.amplification import AMPLIFICATION_MAX
from pyaiot.protocols.coap.blocks import SZX_MAX, Assemblies
from pyaiot.protocols.coap.message import Block, encode_uint
from pyaiot.protocols.coap.numbers import Code, OptionNumber

ASSEMBLIES_MAX: Final = 256
"""Bodies that known nodes send at the same time. One more: the oldest is forgotten (4.08)."""
STRANGERS_ASSEMBLIES_MAX: Final = 32
"""The same of addresses of no known node."""
_OVERHEAD_BYTES: Final = 20
"""An answer without payload: header, ETag, Content-Format, Block2, payload marker."""


class Bodies:
    """The bodies that are being put together."""

    def __init__(self, is_node: Callable[[Address], bool], time: Callable[[], float]) -> None:
        self._is_node = is_node
        self._time = time
        self._of_nodes = Assemblies(ASSEMBLIES_MAX)
        self._of_strangers = Assemblies(STRANGERS_ASSEMBLIES_MAX)

    def whole(self, request: aiocoap.Message) -> bytes | aiocoap.Message:
        """The body of a request, or what to answer because it is not there as a whole."""
        said = request.opt.block1
        if said is None:
            return bytes(request.payload)
        address = request.remote.address
        assemblies = self._of_nodes if self._is_node(address) else self._of_strangers
        tags = tuple(
            option.encode()
            for option in request.opt.option_list()
            if option.number in (OptionNumber.REQUEST_TAG, OptionNumber.URI_QUERY)
        )
        try:
            taken = assemblies.take(
                address,
                (int(request.code), tuple(request.opt.uri_path), tags),
                encode_uint(said.block_number << 4 | said.more << 3 | said.size_exponent),
                request.payload,
                size1=request.opt.size1,
                now=self._time(),
            )
        except ProtocolError as error:
            return aiocoap.Message(code=aiocoap.BAD_REQUEST, payload=str(error).encode())
        if taken.body is not None:
            return taken.body
        answer = aiocoap.Message(code=aiocoap.Code(int(taken.code)))
        return acknowledged(request, answer)

    def answer(self, request: aiocoap.Message, body: bytes, content_format: int) -> aiocoap.Message:
        """2.05 with the part of the body that is asked for, in blocks that may be sent there."""
        szx = SZX_MAX
        if not self._is_node(request.remote.address):
            room = AMPLIFICATION_MAX * request_bytes(request) - _OVERHEAD_BYTES
            while szx and 16 << szx > room:
                szx -= 1
        said = request.opt.block2
        block = Block(0, False, szx)
        if said is not None:
            szx = min(szx, said.size_exponent)
            # The same place in smaller blocks, if those that are asked for are too large.
            block = Block((said.block_number << said.size_exponent) >> szx, False, szx)
        piece = body[block.offset : block.offset + block.size]
        if not piece and block.num:
            return aiocoap.Message(code=aiocoap.BAD_OPTION)
        answer = aiocoap.Message(code=aiocoap.CONTENT, payload=piece, content_format=content_format)
        if said is not None or len(body) > block.size:
            answer.opt.block2 = block.num, block.offset + block.size < len(body), szx
            # Section 2.4: so that parts of two versions are not put together.
            answer.opt.etag = hashlib.blake2b(body, digest_size=4).digest()
        return answer


def acknowledged(request: aiocoap.Message, answer: aiocoap.Message) -> aiocoap.Message:
    """The answer to a block says which one it was (section 2.3)."""
    said = request.opt.block1
    if said is not None:
        answer.opt.block1 = said.block_number, said.more, said.size_exponent
        if answer.code == Code.REQUEST_ENTITY_TOO_LARGE:
            answer.opt.size1 = 64 * 1024
    return answer
