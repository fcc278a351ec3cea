# SPDX-License-Identifier: BSD-3-Clause
"""The interface of a dialect: reads topics and payloads of foreign MQTT devices into events. Pure.

Each dialect is one module with one class of this shape, and one line in `DIALECTS`. What a device
sends stays text or a value: it never becomes a topic filter, a path or a program.
"""

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeGuard

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.exact_json import quote_long_integers
from pyaiot.model import ResourceKind, ResourceType, fitted
from pyaiot.readings import INTEGER_MAX

DEVICES_MAX: Final = 5_000
"""Largest number of devices of one dialect. Messages of further devices are not understood."""
RESOURCES_PER_DEVICE_MAX: Final = 200
"""Largest number of resources in the description of a device. Further ones are left out."""
PAYLOAD_MAX: Final = 192 * 1024
"""Largest payload that is read, in bytes. Larger ones are not understood."""
DEVICE_LIST_PAYLOAD_MAX: Final = 1024 * 1024
"""Largest list of all devices of a bridge, in bytes: 200 devices of 5 kB each."""
DEVICE_PAYLOAD_MAX: Final = 64 * 1024
"""Largest message of a single device, and largest entry in a list of devices, in bytes."""
JSON_DEPTH_MAX: Final = 16
"""Largest depth of nested objects that are read as resources. Deeper ones are left out."""
UID_LENGTH_MAX: Final = 64
"""Longest uid, in characters. A longer one is shortened, and ends in a part of its SHA-256."""
RESOURCE_LENGTH_MAX: Final = 64
"""Longest resource name, in characters. A longer one is shortened in the same way."""
LABEL_LENGTH_MAX: Final = 64
"""Longest label, in characters. A longer one is truncated."""
NAMES_MAX: Final = 4096
"""Largest number of names whose uid or resource is cached. Beyond it the least recently used are
dropped, and made again when needed."""
LEVEL_LENGTH_MAX: Final = 128
"""Longest topic level that names a device, in characters. Longer ones are not understood."""

_SHORT_HASH: Final = 12
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9_-]")
_any = msgspec.json.Decoder(Any)
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])


class DeviceDescription(NamedTuple):
    """What is known of a device."""

    types: Mapping[str, ResourceType]
    """By resource."""
    details: Mapping[str, str]
    """Texts that become readings: `name`, `vendor`, `board`, `version`."""


class DeviceChanged(NamedTuple):
    """The description of a device is new or changed: get it with `describe`."""

    uid: str


class DeviceValue(NamedTuple):
    """A device sent a value of a resource. Unless it was retained, it is a sign of life."""

    uid: str
    resource: str
    data: Any
    unit: str | None = None
    """SenML name of the unit of a number; None: the unit in its text."""


class DevicePresence(NamedTuple):
    """A device is online or offline, as it or its last will states."""

    uid: str
    online: bool


class DeviceRemoved(NamedTuple):
    """A device was removed from its system."""

    uid: str


class TopicsWanted(NamedTuple):
    """Topics without wildcards that the dialect needs in addition to its `filters`."""

    topics: Sequence[str]


class DeviceMessage(NamedTuple):
    """A message for a device."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class CommandRefused(NamedTuple):
    """A device refused a command."""

    uid: str
    resource: str
    text: str
    """The text that `Dialect.command` was given."""
    why: str
    """The reason, for people."""


class NotUnderstood(NamedTuple):
    """A part of a description that is ignored, with the reason for people."""

    what: str
    why: str


DialectEvent: TypeAlias = (
    DeviceChanged
    | DeviceValue
    | DevicePresence
    | DeviceRemoved
    | TopicsWanted
    | DeviceMessage
    | CommandRefused
    | NotUnderstood
)


class Dialect(Protocol):
    """The state machine of one dialect at one MQTT broker."""

    @property
    def name(self) -> str:
        """Its name in the setting `mqtt.dialects`."""
        ...

    @property
    def title(self) -> str:
        """Its display name, which is the value of the resource `dialect`."""
        ...

    @property
    def filters(self) -> Sequence[str]:
        """Topic filters to subscribe to. The filters of two dialects never overlap, nor do they
        overlap with `node/`."""
        ...

    def receive(
        self, topic: str, payload: bytes, *, retained: bool, now: float
    ) -> Sequence[DialectEvent] | None:
        """Read a message. Returns None if it does not belong to this dialect. `now` is in seconds,
        monotonic.

        Raises `ProtocolError` if the message belongs to this dialect and cannot be read.
        """
        ...

    def describe(self, uid: str) -> DeviceDescription:
        """The description of a device that `receive` reported. Raises `KeyError`."""
        ...

    def command(self, uid: str, resource: str, text: str) -> DeviceMessage:
        """The message that sets a resource of a device. Raises `ProtocolError`."""
        ...


@functools.lru_cache(maxsize=NAMES_MAX)
def uid_of(prefix: str, *names: str) -> str:
    """The uid of a device, from its names in the dialect. Different names give different uids. Each
    dialect has its own prefix.

    Characters other than letters, digits, `_` and `-` become `%` and their hexadecimal UTF-8.
    """
    uid = prefix + "-" + ".".join(map(_escaped, names))
    return shortened(uid, UID_LENGTH_MAX)


@functools.lru_cache(maxsize=NAMES_MAX)
def resource_of(*names: str) -> str:
    """The resource for a path of names: `ENERGY`, `Power` gives `energy_power`."""
    text = "_".join(_NOT_PLAIN.sub("_", name).lower() for name in names)
    return shortened(text.strip("_") or "value", RESOURCE_LENGTH_MAX)


def shortened(text: str, length_max: int) -> str:
    """The text; if it is too long, its beginning with a part of its SHA-256."""
    if len(text) <= length_max:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_SHORT_HASH]
    return f"{text[: length_max - _SHORT_HASH - 1]}~{digest}"


def label_of(text: object) -> str:
    """A label from a device: printable, on one line, truncated. Empty if the value is not text."""
    if not isinstance(text, str):
        return ""
    return "".join(it for it in text if it.isprintable()).strip()[:LABEL_LENGTH_MAX]


def is_level(name: object) -> TypeGuard[str]:
    """Whether a name can be one topic level and has at most `LEVEL_LENGTH_MAX` characters."""
    return isinstance(name, str) and _is_level(name)


@functools.lru_cache(maxsize=NAMES_MAX)
def _is_level(name: str) -> bool:
    is_short = 0 < len(name) <= LEVEL_LENGTH_MAX
    return is_short and not {"/", "+", "#"} & set(name) and name.isprintable()


def is_topic(topic: object) -> TypeGuard[str]:
    """Whether a text from a device is a topic without wildcards that does not belong to nodes of
    Pyaiot."""
    return (
        isinstance(topic, str)
        and 0 < len(topic) <= 2 * LEVEL_LENGTH_MAX
        and not {"+", "#"} & set(topic)
        and topic.isprintable()
        and topic[0] not in "$/"
        and topic.partition("/")[0] not in {"node", "gateway"}
    )


def read_json(payload: bytes, size_max: int = DEVICE_PAYLOAD_MAX) -> Any:
    """The JSON value in a payload. Raises `ProtocolError`."""
    if len(payload) > size_max:
        raise ProtocolError(f"more than {size_max} bytes")
    try:
        return _any.decode(quote_long_integers(payload.strip(b"\0 \t\r\n")))
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ProtocolError(f"invalid JSON: {error}"[:200]) from error
    except RecursionError as error:
        raise ProtocolError("JSON is nested too deeply") from error


def read_list(payload: bytes, size_max: int) -> list[bytes]:
    """The members of the JSON array in a payload, as JSON. Raises `ProtocolError`."""
    if len(payload) > size_max:
        raise ProtocolError(f"more than {size_max} bytes")
    try:
        return [bytes(it) for it in _raw_list.decode(payload.strip(b"\0 \t\r\n"))]
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ProtocolError(f"a JSON array is expected: {error}"[:200]) from error
    except RecursionError as error:
        raise ProtocolError("JSON is nested too deeply") from error


def read_object(payload: bytes, size_max: int = DEVICE_PAYLOAD_MAX) -> dict[str, Any]:
    """The JSON object in a payload. Raises `ProtocolError`."""
    value = read_json(payload, size_max)
    if not isinstance(value, dict):
        raise ProtocolError("a JSON object is expected")
    return value


def read_text(payload: bytes, size_max: int = DEVICE_PAYLOAD_MAX) -> str:
    """The text in a payload. Raises `ProtocolError`."""
    if len(payload) > size_max:
        raise ProtocolError(f"more than {size_max} bytes")
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("neither JSON nor UTF-8 text") from error


def plain_value(text: str) -> Any:
    """A number, if the text is a JSON number, else the text itself."""
    if text[:1] in "-0123456789" and len(text) <= _NUMBER_LENGTH_MAX:
        try:
            value = _any.decode(text.encode())
        except (msgspec.MsgspecError, UnicodeError):
            return text
        return value if isinstance(value, int | float) else text
    return text


_NUMBER_LENGTH_MAX: Final = 15
"""Largest number of characters of a number that a double represents exactly."""


def leaves(
    value: Mapping[str, Any], *path: str, count_max: int = RESOURCES_PER_DEVICE_MAX
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values in nested objects with their paths of names, at most `count_max`.

    A list is one value. Null is left out, as are objects below `JSON_DEPTH_MAX` levels.
    """
    found: list[tuple[tuple[str, ...], Any]] = []
    _collect(value, path, found, count_max)
    return iter(found)


def _collect(
    value: Mapping[str, Any],
    path: tuple[str, ...],
    found: list[tuple[tuple[str, ...], Any]],
    count_max: int,
) -> None:
    if len(path) >= JSON_DEPTH_MAX:
        return
    for key, each in value.items():
        if isinstance(each, dict):
            _collect(each, (*path, key), found, count_max)
        elif each is not None:
            found.append(((*path, key), each))
        if len(found) >= count_max:
            return


def _escaped(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    return _NOT_PLAIN.sub(
        lambda it: "".join(f"%{byte:02X}" for byte in it[0].encode(errors="surrogatepass")), name
    )


def type_of(kind: ResourceKind, **fields: Any) -> ResourceType:
    """The type that a description states, without its invalid fields."""
    try:
        return _known_type(kind, **fields)
    except TypeError:
        return _new_type(kind, **fields)  # with a list, or another value of JSON


@functools.lru_cache(maxsize=NAMES_MAX, typed=True)
def _known_type(kind: ResourceKind, **fields: Any) -> ResourceType:
    return _new_type(kind, **fields)


def _new_type(kind: ResourceKind, **fields: Any) -> ResourceType:
    numbers: dict[str, Any] = {
        name: float(value) if is_number(value := fields.pop(name, None)) else None
        for name in ("minimum", "maximum", "step")
    }
    precision = fields.pop("precision", None)
    if not isinstance(precision, int) or isinstance(precision, bool):
        precision = None
    choices = fields.pop("choices", ())
    if not isinstance(choices, list | tuple) or not all(isinstance(it, str) for it in choices):
        choices = ()
    texts: dict[str, Any] = {
        name: label_of(fields.pop(name, "")) for name in ("label", "device_class")
    }
    return fitted(
        ResourceType(
            kind=kind,
            choices=tuple(choices),
            precision=precision,
            source="metadata",
            **numbers,
            **texts,
            **fields,
        )
    )


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that a double represents exactly. Booleans are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= (INTEGER_MAX if isinstance(value, int) else _NUMBER_MAX)


_NUMBER_MAX: Final = 1e300
