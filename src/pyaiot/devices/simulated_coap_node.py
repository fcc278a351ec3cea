# SPDX-License-Identifier: BSD-3-Clause
"""A simulated CoAP node that behaves on the wire as a RIOT board does. Pure.

Datagrams and `now` go in; datagrams and the time of the next wake-up come out.
"""

import logging
import random
import zlib
from collections import deque
from collections.abc import Hashable
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.sensors import SENSORS, Sensor
from pyaiot.errors import ProtocolError
from pyaiot.protocols.coap_message import (
    Block,
    CoapMessage,
    build_options,
    decode_uint,
    rejection,
)
from pyaiot.protocols.coap_numbers import (
    ACK_RANDOM_FACTOR,
    ACK_TIMEOUT_S,
    COAP_PORT,
    EXCHANGE_LIFETIME_S,
    MAX_RETRANSMIT,
    NON_LIFETIME_S,
    Code,
    ContentFormat,
    MessageType,
    OptionNumber,
)

log = logging.getLogger(__name__)

Peer: TypeAlias = Hashable  # the address of a peer, as the shell knows it
Options: TypeAlias = tuple[tuple[int, bytes], ...]

IMU_PERIOD_MIN_S: Final = 0.2
IMU_READINGS_PER_READING: Final = 25  # five per second at the default period of five seconds

# What a board's memory allows. At each limit the oldest entry goes, except where it says otherwise.
REQUEST_BYTES_MAX: Final = 128  # a longer datagram is answered 4.13
REQUEST_WITH_SCRIPT_BYTES_MAX: Final = 1152  # the same, for a board that takes scripts
SCRIPT_BYTES_MAX: Final = 65536  # more is answered 4.13
BODY_BYTES_MAX: Final = 1024  # what else may be written in blocks; more is answered 4.13
ANSWERS_MAX: Final = 64  # remembered for duplicates
UPLOADS_MAX: Final = 4  # block-wise writes under way
UNACKNOWLEDGED_MAX: Final = 16  # CON posts under way; beyond, a post is not made at all
TOKENS_MAX: Final = 32  # of our last posts, to know their separate responses

LARGEST_SZX: Final = 6  # blocks of 1024 bytes, where an answer does not fit otherwise
PREFERRED_SZX: Final = 2  # blocks of 64 bytes, the buffer of the firmware, for who asks for blocks

_BOARD: Final = {"os": "riot", "board": "native", "mcu": "native", "vendor": "Pyaiot"}
_TEXT: Final = (OptionNumber.CONTENT_FORMAT, ContentFormat.TEXT)
_UNDERSTOOD: Final = frozenset(
    (
        OptionNumber.URI_HOST,  # ignored: one host, one port
        OptionNumber.URI_PORT,
        OptionNumber.URI_PATH,
        OptionNumber.URI_QUERY,  # ignored, also by /.well-known/core (RFC 6690 section 4.1)
        OptionNumber.ACCEPT,
        OptionNumber.BLOCK1,
        OptionNumber.BLOCK2,
    )
)


class CoapNodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated CoAP node is and has, and where its gateway is."""

    uid: Annotated[
        str, Meta(max_length=64, description="Name of the node; empty: 15 random hex digits.")
    ] = ""
    name: Annotated[str, Meta(max_length=64, description="Text of the resource `name`.")] = (
        "Simulated node"
    )
    version: Annotated[str, Meta(max_length=64, description="Text of the resource `version`.")] = (
        "2026.07"
    )
    gateway_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Gateway: IPv4 address, IPv6 address (`fe80::1%eth0` with its interface), "
            "or host name (IPv4 first, where it has both).",
        ),
    ] = "127.0.0.1"
    gateway_port: Annotated[int, Meta(ge=1, le=65535, description="UDP port of the gateway.")] = (
        COAP_PORT
    )
    host: Annotated[
        str,
        Meta(
            description="Own address to listen on; empty: loopback for a gateway on loopback, "
            "else every address of this machine."
        ),
    ] = ""
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Own UDP port to listen on; 0: any free port.")
    ] = 0
    separate_source_port: Annotated[
        bool,
        Meta(
            description="Post from another, random port, as boards do. The gateway then looks for "
            "the node at its default port: give `host` an own loopback address and `port` 5683."
        ),
    ] = False
    confirmable: Annotated[
        bool, Meta(description="Post with CON, repeated until acknowledged, instead of NON.")
    ] = False
    period_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=86400.0,
            description="Seconds between two readings of a sensor; `imu` is 25 times as fast, "
            "but posts at most 5 readings per second.",
        ),
    ] = 5.0
    alive_period_s: Annotated[
        float, Meta(ge=0.1, le=86400.0, description="Seconds between two signs of life.")
    ] = 30.0
    temperature: Annotated[bool, Meta(description="Has a thermometer (°C).")] = False
    pressure: Annotated[bool, Meta(description="Has a barometer (hPa).")] = False
    humidity: Annotated[bool, Meta(description="Has a hygrometer (%).")] = False
    illuminance: Annotated[bool, Meta(description="Has a light meter (lx).")] = False
    position: Annotated[bool, Meta(description="Knows its position (degrees).")] = False
    imu: Annotated[bool, Meta(description="Has an accelerometer and a gyroscope.")] = False
    led: Annotated[bool, Meta(description="Has an LED that can be switched.")] = False
    robot: Annotated[bool, Meta(description="Is a robot, driven by u, l, r and s (stop).")] = False
    ribot: Annotated[bool, Meta(description="Is a robot, driven by a joystick.")] = False
    js: Annotated[bool, Meta(description="Takes scripts of up to 64 kB.")] = False


class Datagram(NamedTuple):
    """Bytes to send, to a peer or, with None, to the gateway's CoAP port."""

    data: bytes
    peer: Peer | None


class SimulatedCoapNode:
    """The node without its sockets. Call `boot` first, and again for a reboot.

    After each call, send what `datagrams_to_send` gives, and call it again at `next_wake`.
    `now` is in seconds, on any clock that never goes back.
    """

    def __init__(self, config: CoapNodeConfig, *, rng: random.Random) -> None:
        self.uid = config.uid or f"{rng.getrandbits(60):015X}"
        self._config = config
        self._rng = rng
        self._message_id = rng.getrandbits(16)
        self._sensors = [
            _Schedule(name, make_sensor(rng), _sensor_period_s(config, name))
            for name, make_sensor in SENSORS.items()
            if getattr(config, name)
        ]
        self._actuators = {
            name: actuator for name, actuator in ACTUATORS.items() if getattr(config, name)
        }
        self._request_bytes_max = REQUEST_WITH_SCRIPT_BYTES_MAX if config.js else REQUEST_BYTES_MAX
        self.values = {
            "name": config.name,
            "version": config.version,
            **_BOARD,
            **{sensor.resource: sensor.read() for sensor in self._sensors},
            **{name: actuator.at_start for name, actuator in self._actuators.items()},
        }
        """The text of each resource, by its name."""
        self._alive_due = 0.0
        self._outbox: list[Datagram] = []
        self._unacknowledged: dict[int, _Unacknowledged] = {}
        self._tokens: deque[bytes] = deque(maxlen=TOKENS_MAX)
        self._answers: dict[tuple[Peer, int], _Answered] = {}
        self._uploads: dict[tuple[Peer, str], _Upload] = {}

    def boot(self, *, now: float) -> None:
        """Start, or start again with nothing in memory but the values of the resources."""
        self._outbox.clear()
        self._unacknowledged.clear()
        self._tokens.clear()
        self._answers.clear()
        self._uploads.clear()
        self._post("alive", f"reset:{self.uid}", now)
        self._post("alive", f"alive:{self.uid}", now)
        self._alive_due = now + self._config.alive_period_s
        for sensor in self._sensors:
            # Nodes that start together must not all post in the same moment for ever.
            sensor.due = now + self._rng.uniform(0.0, sensor.period_s)

    @property
    def next_wake(self) -> float:
        """When `datagrams_to_send` has something to do again, if nothing is received before."""
        return min(
            (
                self._alive_due,
                *(sensor.due for sensor in self._sensors),
                *(post.due for post in self._unacknowledged.values()),
            )
        )

    def datagrams_to_send(self, *, now: float) -> list[Datagram]:
        if now >= self._alive_due:
            self._alive_due = _next_due(self._alive_due, self._config.alive_period_s, now)
            self._post("alive", f"alive:{self.uid}", now)
        for sensor in self._sensors:
            if now >= sensor.due:
                sensor.due = _next_due(sensor.due, sensor.period_s, now)
                self._change(sensor.resource, sensor.read(), now)
        self._retransmit(now)
        outbox, self._outbox = self._outbox, []
        return outbox

    def receive_datagram(self, data: bytes, peer: Peer, *, now: float) -> None:
        try:
            message = CoapMessage.from_bytes(data)
        except ProtocolError as error:
            log.debug("node %s drops a datagram of %r: %s", self.uid, peer, error)
            if reset := rejection(data):
                self._outbox.append(Datagram(reset, peer))
            return
        code_class = message.code >> 5
        if message.mtype in (MessageType.ACK, MessageType.RST):
            # Not compared with the gateway's address: a gateway with several may answer from any.
            self._unacknowledged.pop(message.message_id, None)
        elif code_class == 0 and message.code != Code.EMPTY:
            self._receive_request(message, len(data), peer, now)
        elif code_class in (2, 4, 5) and message.token in self._tokens:
            self._receive_separate_response(message, peer)
        elif message.mtype == MessageType.CON:
            # A ping (RFC 7252 section 4.3), a reserved class, or no response to us (4.2).
            self._send_empty(MessageType.RST, message, peer)

    # Posts to the gateway

    def _change(self, resource: str, text: str, now: float) -> None:
        self.values[resource] = text
        self._post("server", f"{resource}:{text}", now)

    def _post(self, path: str, text: str, now: float) -> None:
        confirmable = self._config.confirmable
        if confirmable and len(self._unacknowledged) >= UNACKNOWLEDGED_MAX:
            return
        message = CoapMessage(
            MessageType.CON if confirmable else MessageType.NON,
            Code.POST,
            self._next_message_id(),
            self._rng.randbytes(2),
            build_options((OptionNumber.URI_PATH, path), _TEXT),
            text.encode(),
        )
        data = message.to_bytes()
        self._tokens.append(message.token)
        if confirmable:
            wait_s = ACK_TIMEOUT_S * self._rng.uniform(1.0, ACK_RANDOM_FACTOR)
            self._unacknowledged[message.message_id] = _Unacknowledged(data, wait_s, now)
        self._outbox.append(Datagram(data, None))

    def _retransmit(self, now: float) -> None:
        """RFC 7252 section 4.2. Boards send several at once, whatever NSTART says (4.7)."""
        for message_id, post in list(self._unacknowledged.items()):
            if now < post.due:
                continue
            if post.repeats_left == 0:
                del self._unacknowledged[message_id]
                continue
            post.repeats_left -= 1
            post.wait_s *= 2.0
            post.due = now + post.wait_s
            self._outbox.append(Datagram(post.data, None))

    def _receive_separate_response(self, message: CoapMessage, peer: Peer) -> None:
        # RFC 7252 section 5.2.2: the response says that the request has arrived.
        for message_id, post in list(self._unacknowledged.items()):
            if post.data[4:6] == message.token:
                del self._unacknowledged[message_id]
        if message.mtype == MessageType.CON:
            self._send_empty(MessageType.ACK, message, peer)

    def _send_empty(self, mtype: MessageType, answered: CoapMessage, peer: Peer) -> None:
        empty = CoapMessage(mtype, Code.EMPTY, answered.message_id)
        self._outbox.append(Datagram(empty.to_bytes(), peer))

    def _next_message_id(self) -> int:
        self._message_id = (self._message_id + 1) & 0xFFFF
        return self._message_id

    # Requests to the node

    def _receive_request(self, request: CoapMessage, size: int, peer: Peer, now: float) -> None:
        confirmable = request.mtype == MessageType.CON
        if answered := self._answered(peer, request.message_id, now):
            if answered.reply:
                self._outbox.append(Datagram(answered.reply, peer))
            return
        try:
            answer = self._answer(request, size, peer, now)
        except _Refused as refused:
            answer = refused.answer
        reply = b""
        if confirmable or answer.code != Code.BAD_OPTION:  # NON: in silence, RFC 7252 section 5.4.1
            reply = CoapMessage(
                MessageType.ACK if confirmable else MessageType.NON,
                answer.code,
                request.message_id if confirmable else self._next_message_id(),
                request.token,
                answer.options,
                answer.payload,
            ).to_bytes()
            self._outbox.append(Datagram(reply, peer))
        lifetime_s = EXCHANGE_LIFETIME_S if confirmable else NON_LIFETIME_S
        self._answers[peer, request.message_id] = _Answered(
            reply if confirmable else b"", now + lifetime_s
        )
        if answer.changed:
            self._change(answer.changed, self.values[answer.changed], now)

    def _answered(self, peer: Peer, message_id: int, now: float) -> "_Answered | None":
        """RFC 7252 section 4.5: a duplicate gets the same answer and is not executed again."""
        answered = self._answers.get((peer, message_id))
        if answered is not None and now < answered.forget_at:
            return answered
        self._answers.pop((peer, message_id), None)
        if len(self._answers) >= ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]
        return None

    def _answer(self, request: CoapMessage, size: int, peer: Peer, now: float) -> "_Answer":
        if size > self._request_bytes_max:
            # RFC 7959 section 2.9.3: the size of the blocks that would fit
            hint = ((OptionNumber.BLOCK1, Block(0, False, LARGEST_SZX).to_bytes()),)
            raise _Refused(Code.REQUEST_ENTITY_TOO_LARGE, hint if self._config.js else ())
        path = _checked_path(request)
        if path == ".well-known/core":
            if request.code != Code.GET:
                raise _Refused(Code.METHOD_NOT_ALLOWED)
            links = ",".join(f"</{name}>" for name in sorted(self.values))
            return _read(request, links.encode(), ContentFormat.LINK_FORMAT)
        if path not in self.values:
            raise _Refused(Code.NOT_FOUND)
        if request.code == Code.GET:
            return _read(request, self.values[path].encode(), ContentFormat.TEXT)
        if request.code == Code.PUT and path in self._actuators:
            return self._write(path, request, peer, now)
        raise _Refused(Code.METHOD_NOT_ALLOWED)

    def _write(self, path: str, request: CoapMessage, peer: Peer, now: float) -> "_Answer":
        body = request.payload
        options: Options = ()
        if block := _block(request, OptionNumber.BLOCK1):
            options = ((OptionNumber.BLOCK1, block.to_bytes()),)
            whole = self._assemble(path, request, block, peer, now)
            if whole is None:
                return _Answer(Code.CONTINUE, options)
            body = whole
        try:
            self.values[path] = self._actuators[path].write(body)
        except ValueError as error:
            raise _Refused(Code.BAD_REQUEST, options) from error
        if path != "led":
            return _Answer(Code.CHANGED, options, changed="robot" if path == "robot" else "")
        payload = f"led:{self.values[path]}".encode()
        return _Answer(Code.CHANGED, build_options(_TEXT, *options), payload, changed=path)

    def _assemble(
        self, path: str, request: CoapMessage, block: Block, peer: Peer, now: float
    ) -> bytes | None:
        """Collect the blocks of a body (RFC 7959 section 2.5); None while there are more."""
        bytes_max = SCRIPT_BYTES_MAX if path == "js" else BODY_BYTES_MAX
        key = (peer, path)
        upload = self._uploads.pop(key, None)
        if block.num == 0:
            upload = _Upload()
            if decode_uint(request.option(OptionNumber.SIZE1) or b"") > bytes_max:
                raise _Refused(Code.REQUEST_ENTITY_TOO_LARGE)
        if upload is None or now >= upload.forget_at or len(upload.data) != block.offset:
            raise _Refused(Code.REQUEST_ENTITY_INCOMPLETE)
        size = len(request.payload)
        if size > block.size or (block.more and size < block.size):
            raise _Refused(Code.BAD_REQUEST)
        if block.offset + size > bytes_max:
            raise _Refused(Code.REQUEST_ENTITY_TOO_LARGE)
        upload.data += request.payload
        if not block.more:
            return bytes(upload.data)
        upload.forget_at = now + EXCHANGE_LIFETIME_S
        if len(self._uploads) >= UPLOADS_MAX:
            del self._uploads[next(iter(self._uploads))]
        self._uploads[key] = upload
        return None


class _Schedule:
    """A sensor and when it is read next."""

    __slots__ = ("due", "period_s", "read", "resource")

    def __init__(self, resource: str, read: Sensor, period_s: float) -> None:
        self.resource = resource
        self.read = read
        self.period_s = period_s
        self.due = 0.0


class _Unacknowledged:
    """A CON post that waits for its acknowledgement."""

    __slots__ = ("data", "due", "repeats_left", "wait_s")

    def __init__(self, data: bytes, wait_s: float, now: float) -> None:
        self.data = data
        self.wait_s = wait_s
        self.due = now + wait_s
        self.repeats_left = MAX_RETRANSMIT


class _Upload:
    """The blocks of a body that have come so far."""

    __slots__ = ("data", "forget_at")

    def __init__(self) -> None:
        self.data = bytearray()
        self.forget_at = float("inf")


class _Answered(NamedTuple):
    reply: bytes  # empty: a duplicate is ignored
    forget_at: float


class _Answer(NamedTuple):
    code: Code
    options: Options = ()
    payload: bytes = b""
    changed: str = ""  # the resource whose new value the gateway shall know


class _Refused(Exception):
    def __init__(self, code: Code, options: Options = ()) -> None:
        self.answer = _Answer(code, options)


def _checked_path(request: CoapMessage) -> str:
    for number, value in request.options:
        if number in (OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME):
            raise _Refused(Code.PROXYING_NOT_SUPPORTED)  # RFC 7252 section 5.10.2
        critical = number & 1  # RFC 7252 section 5.4.6
        if critical and (number not in _UNDERSTOOD or len(value) > 255):
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
    """Answer with the body, or with the block of it that was asked for (RFC 7959 section 2.4)."""
    accepted = request.option(OptionNumber.ACCEPT)
    if accepted is not None and decode_uint(accepted) != content_format:
        raise _Refused(Code.NOT_ACCEPTABLE)
    described = (OptionNumber.CONTENT_FORMAT, content_format)
    block = _block(request, OptionNumber.BLOCK2)
    if block is None:
        if len(body) <= 16 << LARGEST_SZX:
            return _Answer(Code.CONTENT, build_options(described), body)
        block = Block(0, False, LARGEST_SZX)
    elif block.num == 0:
        block = Block(0, False, min(block.szx, PREFERRED_SZX))
    if block.num and block.offset >= len(body):
        raise _Refused(Code.BAD_REQUEST)
    end = block.offset + block.size
    options = build_options(
        (OptionNumber.ETAG, zlib.crc32(body).to_bytes(4, "big")),
        described,
        (OptionNumber.BLOCK2, Block(block.num, end < len(body), block.szx).to_bytes()),
    )
    return _Answer(Code.CONTENT, options, body[block.offset : end])


def _sensor_period_s(config: CoapNodeConfig, resource: str) -> float:
    if resource == "imu":
        return max(IMU_PERIOD_MIN_S, config.period_s / IMU_READINGS_PER_READING)
    return config.period_s


def _next_due(due: float, period_s: float, now: float) -> float:
    """Keep the pace, but do not make up for what was missed while the machine slept."""
    return due + period_s if due + period_s > now else now + period_s
