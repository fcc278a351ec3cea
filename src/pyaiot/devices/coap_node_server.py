# SPDX-License-Identifier: BSD-3-Clause
"""The server side of a simulated CoAP node. Pure.

Any peer may read resources and write actuators. Large bodies are transferred in blocks.
"""

import zlib
from collections.abc import Hashable, Iterator
from typing import Final, NamedTuple, TypeAlias

from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap.message import Block, CoapMessage, build_options, decode_uint
from pyaiot.protocols.coap.numbers import (
    EXCHANGE_LIFETIME_S,
    NON_LIFETIME_S,
    Code,
    ContentFormat,
    MessageType,
    OptionNumber,
)

RemoteAddress: TypeAlias = Hashable  # as the runner passes it in
CoapOptions: TypeAlias = tuple[tuple[int, bytes], ...]

# Limits of a board's memory. A full table discards its oldest entry.
REQUEST_BYTES_MAX: Final = 128  # larger datagrams are answered 4.13
REQUEST_WITH_SCRIPT_BYTES_MAX: Final = 1152  # the same, for a board that accepts scripts
SCRIPT_BYTES_MAX: Final = 65536  # larger scripts are answered 4.13
BODY_BYTES_MAX: Final = 1024  # any other body; larger ones are answered 4.13
RESPONSES_MAX: Final = 64  # kept for deduplication
UPLOADS_MAX: Final = 4  # block-wise writes in progress

LARGEST_SZX: Final = 6  # blocks of 1024 bytes, if a response exceeds one datagram
PREFERRED_SZX: Final = 2  # blocks of 64 bytes, the buffer of the firmware; on request

_SUPPORTED_OPTIONS: Final = frozenset(
    (
        OptionNumber.URI_HOST,  # ignored: the node has one host and one port
        OptionNumber.URI_PORT,
        OptionNumber.URI_PATH,
        OptionNumber.URI_QUERY,  # ignored, also by /.well-known/core (RFC 6690 section 4.1)
        OptionNumber.ACCEPT,
        OptionNumber.BLOCK1,
        OptionNumber.BLOCK2,
    )
)


class RequestResult(NamedTuple):
    """The effects of a request."""

    data: bytes  # datagram for the peer; empty: send nothing
    changed: str = ""  # resource whose new value is to be posted to the gateway


class CoapNodeServer:
    """Executes requests. Call `boot` for a reboot.

    `values` is the text of each resource, shared with the poster of the node: writes change it.
    `now` is in seconds, on any monotonic clock.
    """

    def __init__(
        self, config: CoapNodeConfig, *, values: dict[str, str], message_ids: Iterator[int]
    ) -> None:
        self._values = values
        self._message_ids = message_ids
        self._accepts_scripts = config.js
        self._actuators = {
            name: actuator for name, actuator in ACTUATORS.items() if getattr(config, name)
        }
        values.update({name: actuator.initial_text for name, actuator in self._actuators.items()})
        self._answers: dict[tuple[RemoteAddress, int], _Answered] = {}
        self._uploads: dict[tuple[RemoteAddress, str], _Upload] = {}

    def boot(self) -> None:
        """Forget all requests; the values of the resources are kept."""
        self._answers.clear()
        self._uploads.clear()

    def receive_request(
        self, request: CoapMessage, size: int, peer: RemoteAddress, *, now: float
    ) -> RequestResult:
        """Execute a request from a datagram of `size` bytes, unless it is a duplicate."""
        if answered := self._answered(peer, request.message_id, now):
            return RequestResult(answered.data)
        try:
            answer = self._answer(request, size, peer, now)
        except _Refused as refused:
            answer = refused.answer
        confirmable = request.mtype == MessageType.CON
        data = b""
        if confirmable or answer.code != Code.BAD_OPTION:  # NON: silence, RFC 7252 section 5.4.1
            data = CoapMessage(
                MessageType.ACK if confirmable else MessageType.NON,
                answer.code,
                request.message_id if confirmable else next(self._message_ids),
                request.token,
                answer.options,
                answer.payload,
            ).to_bytes()
        lifetime_s = EXCHANGE_LIFETIME_S if confirmable else NON_LIFETIME_S
        self._answers[peer, request.message_id] = _Answered(
            data if confirmable else b"", now + lifetime_s
        )
        return RequestResult(data, answer.changed)

    def _answered(self, peer: RemoteAddress, message_id: int, now: float) -> "_Answered | None":
        """Deduplication: a duplicate gets the same response (RFC 7252 section 4.5)."""
        answered = self._answers.get((peer, message_id))
        if answered is not None and now < answered.expires_at:
            return answered
        self._answers.pop((peer, message_id), None)
        if len(self._answers) >= RESPONSES_MAX:
            del self._answers[next(iter(self._answers))]
        return None

    def _answer(
        self, request: CoapMessage, size: int, peer: RemoteAddress, now: float
    ) -> "_Answer":
        if size > (REQUEST_WITH_SCRIPT_BYTES_MAX if self._accepts_scripts else REQUEST_BYTES_MAX):
            # RFC 7959 section 2.9.3: suggest a block size
            hint = ((OptionNumber.BLOCK1, Block(0, False, LARGEST_SZX).to_bytes()),)
            raise _Refused(Code.REQUEST_ENTITY_TOO_LARGE, hint if self._accepts_scripts else ())
        path = _checked_path(request)
        if path == ".well-known/core":
            if request.code != Code.GET:
                raise _Refused(Code.METHOD_NOT_ALLOWED)
            links = ",".join(f"</{name}>" for name in sorted(self._values))
            return _read(request, links.encode(), ContentFormat.LINK_FORMAT)
        if path not in self._values:
            raise _Refused(Code.NOT_FOUND)
        if request.code == Code.GET:
            return _read(request, self._values[path].encode(), ContentFormat.TEXT)
        if request.code == Code.PUT and path in self._actuators:
            return self._write(path, request, peer, now)
        raise _Refused(Code.METHOD_NOT_ALLOWED)

    def _write(self, path: str, request: CoapMessage, peer: RemoteAddress, now: float) -> "_Answer":
        body = request.payload
        options: CoapOptions = ()
        if block := _block(request, OptionNumber.BLOCK1):
            options = ((OptionNumber.BLOCK1, block.to_bytes()),)
            complete = self._assemble(path, request, block, peer, now)
            if complete is None:
                return _Answer(Code.CONTINUE, options)
            body = complete
        try:
            self._values[path] = self._actuators[path].write(body)
        except ValueError as error:
            raise _Refused(Code.BAD_REQUEST, options) from error
        if path != "led":
            return _Answer(Code.CHANGED, options, changed="robot" if path == "robot" else "")
        payload = f"led:{self._values[path]}".encode()
        text = (OptionNumber.CONTENT_FORMAT, ContentFormat.TEXT)
        return _Answer(Code.CHANGED, build_options(text, *options), payload, changed=path)

    def _assemble(
        self, path: str, request: CoapMessage, block: Block, peer: RemoteAddress, now: float
    ) -> bytes | None:
        """Add a block to its body (RFC 7959 section 2.5). The body; None until it is complete."""
        bytes_max = SCRIPT_BYTES_MAX if path == "js" else BODY_BYTES_MAX
        key = (peer, path)
        upload = self._uploads.pop(key, None)
        if block.num == 0:
            upload = _Upload()
            if decode_uint(request.option(OptionNumber.SIZE1) or b"") > bytes_max:
                raise _Refused(Code.REQUEST_ENTITY_TOO_LARGE)
        if upload is None or now >= upload.expires_at or len(upload.data) != block.offset:
            raise _Refused(Code.REQUEST_ENTITY_INCOMPLETE)
        size = len(request.payload)
        if size > block.size or (block.more and size < block.size):
            raise _Refused(Code.BAD_REQUEST)
        if block.offset + size > bytes_max:
            raise _Refused(Code.REQUEST_ENTITY_TOO_LARGE)
        upload.data += request.payload
        if not block.more:
            return bytes(upload.data)
        upload.expires_at = now + EXCHANGE_LIFETIME_S
        if len(self._uploads) >= UPLOADS_MAX:
            del self._uploads[next(iter(self._uploads))]
        self._uploads[key] = upload
        return None


class _Upload:
    """The blocks of a body received so far."""

    __slots__ = ("data", "expires_at")

    def __init__(self) -> None:
        self.data = bytearray()
        self.expires_at = float("inf")


class _Answered(NamedTuple):
    data: bytes  # empty: duplicates are ignored
    expires_at: float


class _Answer(NamedTuple):
    code: Code
    options: CoapOptions = ()
    payload: bytes = b""
    changed: str = ""  # resource whose new value is to be posted to the gateway


class _Refused(Exception):
    def __init__(self, code: Code, options: CoapOptions = ()) -> None:
        self.answer = _Answer(code, options)


def _checked_path(request: CoapMessage) -> str:
    for number, value in request.options:
        if number in (OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME):
            raise _Refused(Code.PROXYING_NOT_SUPPORTED)  # RFC 7252 section 5.10.2
        critical = number & 1  # RFC 7252 section 5.4.6
        if critical and (number not in _SUPPORTED_OPTIONS or len(value) > 255):
            raise _Refused(Code.BAD_OPTION)
    try:
        return "/".join(request.uri_path)
    except ProtocolError as error:
        raise _Refused(Code.BAD_OPTION) from error


def _block(request: CoapMessage, number: OptionNumber) -> Block | None:
    value = request.option(number)
    if value is None:
        return None
    try:
        return Block.from_bytes(value)
    except ProtocolError as error:
        # RFC 7252 section 5.4.3 for the length, RFC 7959 section 2.2 for the reserved size
        raise _Refused(Code.BAD_OPTION if len(value) > 3 else Code.BAD_REQUEST) from error


def _read(request: CoapMessage, body: bytes, content_format: ContentFormat) -> _Answer:
    """Answer with the body, or with the requested block of it (RFC 7959 section 2.4)."""
    accepted = request.option(OptionNumber.ACCEPT)
    if accepted is not None and decode_uint(accepted) != content_format:
        raise _Refused(Code.NOT_ACCEPTABLE)
    format_option = (OptionNumber.CONTENT_FORMAT, content_format)
    block = _block(request, OptionNumber.BLOCK2)
    if block is None:
        if len(body) <= 16 << LARGEST_SZX:
            return _Answer(Code.CONTENT, build_options(format_option), body)
        block = Block(0, False, LARGEST_SZX)
    elif block.num == 0:
        block = Block(0, False, min(block.szx, PREFERRED_SZX))
    if block.num and block.offset >= len(body):
        raise _Refused(Code.BAD_REQUEST)
    end = block.offset + block.size
    options = build_options(
        (OptionNumber.ETAG, zlib.crc32(body).to_bytes(4, "big")),
        format_option,
        (OptionNumber.BLOCK2, Block(block.num, end < len(body), block.szx).to_bytes()),
    )
    return _Answer(Code.CONTENT, options, body[block.offset : end])
