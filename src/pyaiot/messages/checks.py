# SPDX-License-Identifier: BSD-3-Clause
"""Checks of messages beyond their types: printable names, bounded values."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.messages.limits import (
    JSON_DEPTH_MAX,
    NAME_LENGTH_MAX,
    RESERVED_UIDS,
    TYPES_SIZE_MAX,
    VALUE_SIZE_MAX,
)
from pyaiot.messages.nodes import (
    NodeAppeared,
    NodeDescribed,
    NodeLeft,
    NodeReset,
    NodeRules,
    Reading,
)
from pyaiot.messages.types import (
    Command,
    Hello,
    Message,
)
from pyaiot.model import ResourceType, check_type

SHORT_LENGTH: Final = VALUE_SIZE_MAX // 6
"""Longest text that is always within `VALUE_SIZE_MAX`: `\\u0000`, with 6 bytes, is the longest."""
_encode: Final = msgspec.json.Encoder().encode


def check(message: Message) -> None:
    """Check what types do not express: printable names, bounded values. Raises `ProtocolError`."""
    match message:
        case Reading():
            check_uid(message.uid)
            check_name(message.resource, "resource")
            check_value(message.data)
        case NodeAppeared() | NodeReset() | NodeLeft() | NodeRules():
            check_uid(message.uid)
        case NodeDescribed():
            check_uid(message.uid)
            check_types(message.types)
        case Command():
            check_uid(message.uid)
            check_name(message.resource, "resource")
            check_value(message.payload)
        case Hello():
            check_name(message.name, "name of a gateway")
            check_name(message.protocol, "protocol")
        case _:
            pass


def are_plain_readings(messages: Iterable[Message]) -> bool:
    """Whether `check` surely accepts these: readings with short texts, as most messages are.

    Types limit the length of the names.
    """
    for message in messages:
        if type(message) is not Reading:
            return False
        uid, data = message.uid, message.data
        if not (
            type(data) is str
            and len(data) <= SHORT_LENGTH
            and uid.isprintable()
            and message.resource.isprintable()
            and uid not in RESERVED_UIDS
        ):
            return False
    return True


def check_name(name: str, what: str) -> str:
    """Return the name if it has 1 to 64 printable characters. Raises `ProtocolError` otherwise."""
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise ProtocolError(f"a {what} has 1 to {NAME_LENGTH_MAX} printable characters")
    return name


def check_uid(uid: str) -> str:
    """Return the uid if it is a name and not reserved. Raises `ProtocolError` otherwise."""
    check_name(uid, "uid")
    if uid in RESERVED_UIDS:
        raise ProtocolError(f"the uid {uid!r} is reserved")
    return uid


def check_types(types: Mapping[str, ResourceType]) -> None:
    """Check the types of the resources of a node, by name. Raises `ProtocolError`."""
    for resource, it in types.items():
        check_name(resource, "resource")
        check_type(it)
    if _size_of(types) > TYPES_SIZE_MAX:
        raise ProtocolError(f"the types of a node have at most {TYPES_SIZE_MAX} bytes")


def check_value(value: object) -> None:
    """Check the size and depth of a value. Raises `ProtocolError`."""
    if isinstance(value, str):
        if len(value) > SHORT_LENGTH and _size(value) > VALUE_SIZE_MAX:
            raise ProtocolError(f"a value has at most {VALUE_SIZE_MAX} bytes")
    elif isinstance(value, list | dict):
        if not is_shallow(value, JSON_DEPTH_MAX):
            raise ProtocolError(f"a value is nested at most {JSON_DEPTH_MAX} deep")
        if len(_encode(value)) > VALUE_SIZE_MAX:
            raise ProtocolError(f"a value has at most {VALUE_SIZE_MAX} bytes")


def echoes(payload: str, data: object) -> bool:
    """Whether a node that was sent `payload` and now reports `data` confirms it."""
    if isinstance(data, str):
        return data == payload
    # Nodes that speak JSON answer 1 to "1", true to "true", and 21.5 to "21.50".
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
        return len(_encode(text)) - 2
    except UnicodeEncodeError as error:
        raise ProtocolError("text contains a lone surrogate") from error


def _size_of(types: Mapping[str, ResourceType]) -> int:
    try:
        return len(_encode(types))
    except UnicodeEncodeError as error:
        raise ProtocolError("text contains a lone surrogate") from error


def is_shallow(value: object, depth_max: int) -> bool:
    """Whether arrays and objects are nested at most `depth_max` levels deep."""
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
