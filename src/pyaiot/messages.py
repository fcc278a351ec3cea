# SPDX-License-Identifier: BSD-3-Clause
"""What gateways, broker and clients say to each other, and its JSON form, `pyaiot.v2`.

Every frame of `pyaiot.v2` is a JSON array of messages. Names on the wire are the historic ones
(`endpoint`, `data`, `value`); names in code are the vocabulary's (`resource`, `data`, `number`).
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError
from pyaiot.readings import INTEGER_MAX, read_quantity

SUBPROTOCOL: Final = "pyaiot.v2"

NAME_LENGTH_MAX: Final = 64
"""Characters of a uid, a resource, a gateway's name."""
VALUE_SIZE_MAX: Final = 64 * 1024
"""Bytes of one value, or of a command's payload, in JSON without the quotes around it.

Measured there, so that every message fits into a frame: a control character takes six bytes.
"""
TOPIC_LENGTH_MAX: Final = 128
"""Characters of a topic that is shown. Cut there."""
PROBLEM_LENGTH_MAX: Final = 200
"""Characters of what is said about wrong bytes."""
FRAME_SIZE_MAX: Final = 256 * 1024
"""Bytes of one WebSocket message in either direction. Larger ones are refused."""
JSON_DEPTH_MAX: Final = 32
"""Arrays and objects inside each other, in a value."""
COMMAND_TIMEOUT_MAX_S: Final = 60.0
RESERVED_UIDS: Final = frozenset({"alive", "all"})
"""Words of the legacy wire that stand where a uid stands (PROTOCOLS: keep-alive, `dst`)."""

_INTEGER_BITS: Final = 256
"""More are no identifier, and `check` refuses them."""

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Uid = Annotated[Name, Meta(description="The node. One of its kind in a broker.")]
ResourceName = Annotated[Name, Meta(description="The resource, without a leading `/`.")]
UnixTime = Annotated[float, Meta(description="Unix time in seconds; 0 if nobody said when.")]
ReceiptState = Literal[
    "confirmed", "refused", "timeout", "unreachable", "unknown", "forbidden", "sent"
]
LeftReason = Literal["silent", "left", "gateway lost"]


class _Message(
    msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type", kw_only=True
):
    pass


class Join(_Message, frozen=True, kw_only=True, tag="new"):
    """A client asks for what the broker knows. It may ask again."""

    data: Literal["client"]
    """The historic word. It tells this message from the `new` of a node."""


class Subscribe(_Message, frozen=True, kw_only=True, tag="subscribe"):
    """A client narrows what it gets from now on. An absent list means all."""

    uids: Annotated[tuple[Name, ...], Meta(max_length=10_000)] | None = None
    """The nodes to hear of. What is of no node, such as the gateways, comes anyway."""
    resources: Annotated[tuple[Name, ...], Meta(max_length=256)] | None = msgspec.field(
        name="endpoints", default=None
    )
    """The resources whose readings to hear. That nodes come, reboot and leave is told anyway."""


class Command(_Message, frozen=True, kw_only=True, tag="command"):
    """A wish to write `payload` to a resource. Ends in exactly one receipt with the same `id`."""

    id: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Any text that tells the receipts apart. Towards the gateway the broker uses its own."""
    uid: Uid
    resource: ResourceName = msgspec.field(name="endpoint")
    payload: str
    """The text to write, at most 64 kB as UTF-8."""
    timeout_s: Annotated[float, Meta(gt=0, le=COMMAND_TIMEOUT_MAX_S)] = msgspec.field(
        name="timeout", default=5.0
    )
    """Seconds that the node has to answer. Nothing is sent to it after that."""
    client: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = msgspec.field(name="src", default="")
    """The client that wishes it. Set by the broker, whatever the client wrote."""


class Receipt(_Message, frozen=True, kw_only=True, tag="receipt"):
    """What became of a command."""

    id: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
    """The `id` of the command."""
    state: ReceiptState
    """`confirmed`: the node did it, or says that it did. `refused`: the node said no.
    `timeout`: no answer in time; nobody knows. `unreachable`: the network or the gateway said no.
    `unknown`: no such node. `forbidden`: the broker said no. `sent`: it went where nobody
    acknowledges, and the node did not report the new value in time.
    """
    detail: Annotated[str, Meta(max_length=256)] = ""
    """For people: the node's code, or the reason."""
    elapsed_ms: float = 0.0
    """Milliseconds from the command to its end, as measured by whoever sends the receipt."""


class Hello(_Message, frozen=True, kw_only=True, tag="hello"):
    """Who speaks: the first message of a gateway, and of the broker to a client."""

    name: Name
    """Name of the gateway, for people; `broker` from the broker."""
    protocol: Name
    """What its nodes speak, say `CoAP`; `pyaiot.v2` from the broker."""
    version: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Version of the program that speaks."""
    instance: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Of a gateway: random for each process. The same instance again replaces its old link."""


class GatewayState(_Message, frozen=True, kw_only=True, tag="gateway"):
    """A gateway came or went, told to clients."""

    name: Name
    """As in its `hello`; `legacy` if it said none."""
    protocol: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """As in its `hello`."""
    version: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """As in its `hello`."""
    state: Literal["connected", "lost"]
    """Whether its link to the broker is up."""
    ts: UnixTime = 0.0


class Ignored(_Message, frozen=True, kw_only=True, tag="ignored"):
    """What devices published under topics of no node: nobody reads it, somebody may look for it."""

    gateway: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Name of the gateway that counts. Set by the broker."""
    count: Annotated[int, Meta(ge=0, le=2**53)]
    """Messages since the gateway started."""
    topic: Annotated[str, Meta(max_length=TOPIC_LENGTH_MAX)]
    """Where the last one was published, cut."""
    ts: UnixTime = 0.0
    """Unix time in seconds of the last one."""


class NodeAppeared(_Message, frozen=True, kw_only=True, tag="new"):
    """A node is there. Said again of a known node, it changes nothing."""

    uid: Uid
    ts: UnixTime = 0.0
    """Unix time in seconds at which the node was first heard; 0 if nobody said when."""
    gateway: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Name of the gateway that has the node. Set by the broker."""


class Reading(_Message, frozen=True, kw_only=True, tag="update"):
    """A value of a resource. `number` and `unit` where the text is a number (SenML units)."""

    uid: Uid
    resource: ResourceName = msgspec.field(name="endpoint")
    data: Any
    """As the device sent it: mostly text, else any JSON value."""
    ts: UnixTime = 0.0
    """Unix time in seconds at which the gateway received it; 0 if nobody said when."""
    retained: bool = False
    """An MQTT broker kept the value, and nobody knows since when: `ts` is 0. It is not recorded."""
    number: float | None = msgspec.field(name="value", default=None)
    """The number that `data` states, as a whole; absent if it states none."""
    unit: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """Unit of the number, by its SenML name: `Cel`, `hPa`, `%RH`; absent if there is none."""

    @classmethod
    def received(cls, uid: str, resource: str, data: object, ts: float) -> "Reading":
        """A reading as a device sent it, with the number and unit that its text states.

        An integer that a double does not hold becomes text: other readers of JSON round it.
        """
        if type(data) is int and abs(data) > INTEGER_MAX and data.bit_length() <= _INTEGER_BITS:
            data = str(data)
        quantity = read_quantity(data, resource)
        if quantity is None:
            return cls(uid=uid, resource=resource, data=data, ts=ts)
        return cls(
            uid=uid,
            resource=resource,
            data=data,
            ts=ts,
            number=quantity.number,
            unit=quantity.unit,
        )


class NodeReset(_Message, frozen=True, kw_only=True, tag="reset"):
    """The node rebooted: its values so far count no more."""

    uid: Uid
    ts: UnixTime = 0.0


class NodeLeft(_Message, frozen=True, kw_only=True, tag="out"):
    """The node is gone, or nobody can tell any more (`gateway lost`)."""

    uid: Uid
    ts: UnixTime = 0.0
    reason: LeftReason = "left"
    """`silent`: nothing was heard for the silence limit. `left`: its gateway says so."""


class Joined(_Message, frozen=True, kw_only=True, tag="joined"):
    """The burst that answers `Join` is complete."""

    nodes: int
    """Nodes that are there now."""
    ts: UnixTime = 0.0


class Problem(_Message, frozen=True, kw_only=True, tag="error"):
    """What the peer said was refused. The rest of what it says is still heard."""

    detail: Annotated[str, Meta(max_length=256)]
    """For people: what was wrong, or not allowed."""
    uid: str = ""
    """The node that the refused message spoke of."""
    owner: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """To a gateway: the one that has the node, if that is why. It may be claimed again later."""


class Checkpoint(_Message, frozen=True, kw_only=True, tag="checkpoint"):
    """A gateway asks whether what it sent before has arrived. The broker sends it back a second
    later, when a killed broker would not lose that any more. Sent again on the next link is what
    was not confirmed so.
    """

    number: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """Chosen by the gateway. Only the latest one is sent back."""


class ReadingsDropped(_Message, frozen=True, kw_only=True, tag="dropped"):
    """A gateway had no room for readings while it had no broker. It is kept in the history."""

    ts: UnixTime
    until: Annotated[float, Meta(description="Unix time of the last of them, in seconds.")]
    lost: Annotated[int, Meta(ge=0, le=2**53)]
    """Readings that the broker may not have got; their latest values it has."""


FromClient: TypeAlias = Join | Subscribe | Command
ToClient: TypeAlias = (
    Hello
    | GatewayState
    | Ignored
    | NodeAppeared
    | Reading
    | NodeReset
    | NodeLeft
    | Joined
    | Receipt
    | Problem
)
FromGateway: TypeAlias = (
    Hello
    | Ignored
    | NodeAppeared
    | Reading
    | NodeReset
    | NodeLeft
    | Receipt
    | Checkpoint
    | ReadingsDropped
)
ToGateway: TypeAlias = Command | Problem | Checkpoint
NodeEvent: TypeAlias = NodeAppeared | Reading | NodeReset | NodeLeft
Message: TypeAlias = FromClient | ToClient | FromGateway | ToGateway

M = TypeVar("M")

_encoder = msgspec.json.Encoder()
encode = _encoder.encode
"""One message → its JSON bytes, not yet in an array."""

_from_client = msgspec.json.Decoder(list[FromClient])
_from_gateway = msgspec.json.Decoder(list[FromGateway])
_to_client = msgspec.json.Decoder(list[ToClient])
_to_gateway = msgspec.json.Decoder(list[ToGateway])
_one_from_gateway = msgspec.json.Decoder(FromGateway)
_raw_array = msgspec.json.Decoder(list[msgspec.Raw])


def encode_frames(messages: Iterable[Message]) -> Iterator[bytes]:
    """JSON arrays that carry these messages in order, each below `FRAME_SIZE_MAX`."""
    part: list[bytes] = []
    size = 2
    for encoded in map(encode, messages):
        if part and size + len(encoded) + 1 > FRAME_SIZE_MAX:
            yield b"[" + b",".join(part) + b"]"
            part, size = [], 2
        part.append(encoded)
        size += len(encoded) + 1
    if part:
        yield b"[" + b",".join(part) + b"]"


def decode_json(decoder: msgspec.json.Decoder[M], data: str | bytes) -> M:
    """Decode outside bytes. Raises `ProtocolError`, whatever is wrong with them."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        # The words of the decoder quote the peer, at any length.
        raise ProtocolError(str(error)[:PROBLEM_LENGTH_MAX]) from error
    except RecursionError as error:
        raise ProtocolError("JSON is nested too deeply") from error


def decode_from_client(frame: str | bytes) -> list[FromClient]:
    """An array of messages, or a single one. Raises `ProtocolError`: close with 1003."""
    text = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
    if text.lstrip()[:1] == b"{":
        text = b"[" + text + b"]"
    messages = decode_json(_from_client, text)
    for message in messages:
        check(message)
    return messages


def decode_from_gateway(frame: str | bytes) -> tuple[list[FromGateway], list[str]]:
    """The good messages of a frame, and a sentence for each wrong one.

    One wrong message takes none of its neighbours with it. Raises `ProtocolError` if the frame
    is not a JSON array at all.
    """
    problems: list[str] = []
    try:
        messages = decode_json(_from_gateway, frame)
    except ProtocolError:
        messages = []
        for raw in decode_json(_raw_array, frame):
            try:
                messages.append(decode_json(_one_from_gateway, bytes(raw)))
            except ProtocolError as error:
                problems.append(str(error))
    good: list[FromGateway] = []
    for message in messages:
        try:
            check(message)
        except ProtocolError as error:
            problems.append(str(error))
        else:
            good.append(message)
    return good, problems


def decode_to_client(frame: str | bytes) -> list[ToClient]:
    """What a client hears from the broker. Raises `ProtocolError`."""
    return decode_json(_to_client, frame)


def decode_to_gateway(frame: str | bytes) -> list[ToGateway]:
    """What a gateway hears from the broker. Raises `ProtocolError`."""
    return decode_json(_to_gateway, frame)


def check(message: Message) -> None:
    """What types cannot say: printable names, bounded values. Raises `ProtocolError`."""
    match message:
        case Reading():
            check_uid(message.uid)
            check_name(message.resource, "resource")
            check_value(message.data)
        case NodeAppeared() | NodeReset() | NodeLeft():
            check_uid(message.uid)
        case Command():
            check_uid(message.uid)
            check_name(message.resource, "resource")
            check_value(message.payload)
        case Hello():
            check_name(message.name, "name of a gateway")
            check_name(message.protocol, "protocol")
        case _:
            pass


def check_name(name: str, what: str) -> str:
    """A name of 1 to 64 printable characters, returned. Raises `ProtocolError`."""
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise ProtocolError(f"a {what} has 1 to {NAME_LENGTH_MAX} printable characters")
    return name


def check_uid(uid: str) -> str:
    """A uid that can be used, returned. Raises `ProtocolError`."""
    check_name(uid, "uid")
    if uid in RESERVED_UIDS:
        raise ProtocolError(f"the uid {uid!r} is a word of the protocol")
    return uid


def check_value(value: object) -> None:
    """A value within the limits on size and depth. Raises `ProtocolError`."""
    if isinstance(value, str):
        # Six bytes a character at most (`\u0000`): short text needs no encoding to be measured.
        if len(value) * 6 > VALUE_SIZE_MAX and _size(value) > VALUE_SIZE_MAX:
            raise ProtocolError(f"a value has at most {VALUE_SIZE_MAX} bytes")
    elif isinstance(value, list | dict):
        if not is_shallow(value, JSON_DEPTH_MAX):
            raise ProtocolError(f"a value is nested at most {JSON_DEPTH_MAX} deep")
        if len(encode(value)) > VALUE_SIZE_MAX:
            raise ProtocolError(f"a value has at most {VALUE_SIZE_MAX} bytes")


def echoes(payload: str, data: object) -> bool:
    """Whether a node that was told `payload` and now reports `data` says that it did it."""
    if isinstance(data, str):
        return data == payload
    # Nodes over JSON answer 1 to "1", true to "true", and 21.5 to "21.50".
    if json.dumps(data) == payload:
        return True
    if isinstance(data, bool) or not isinstance(data, int | float):
        return False
    try:
        return float(payload) == data
    except ValueError:
        return False


def _size(text: str) -> int:
    try:
        return len(encode(text)) - 2
    except UnicodeEncodeError as error:
        raise ProtocolError("text has a lone surrogate") from error


def is_shallow(value: object, depth_max: int) -> bool:
    """Whether no more than `depth_max` arrays and objects stand inside each other."""
    level = [value] if isinstance(value, list | dict) else []
    depth = 0
    while level:
        depth += 1
        if depth > depth_max:
            return False
        items: Iterator[object] = itertools.chain.from_iterable(
            container.values() if isinstance(container, dict) else container for container in level
        )
        level = [item for item in items if isinstance(item, list | dict)]
    return True
