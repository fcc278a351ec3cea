# SPDX-License-Identifier: BSD-3-Clause
"""Decodes payloads by Content-Format: text, JSON, CBOR, or a SenML pack. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.exact_json import quote_long_integers
from pyaiot.protocols import senml
from pyaiot.protocols.cbor import decode_cbor, json_value
from pyaiot.protocols.coap.message import decode_uint
from pyaiot.protocols.coap.numbers import ContentFormat

AGE_MAX_S: Final = 86_400.0
"""The greatest age of a SenML record. Older ones, and those from the future, get the time of
receipt."""
SENML: Final = frozenset({ContentFormat.SENML_JSON, ContentFormat.SENML_CBOR})
FORMATS: Final = SENML | {ContentFormat.JSON, ContentFormat.CBOR}
"""The supported formats other than text."""
TEXT_FORMATS: Final = frozenset({None, ContentFormat.TEXT, ContentFormat.OCTET_STREAM})
"""The formats of posts that are read as text."""
_READABLE: Final = frozenset(str(int(known)) for known in {ContentFormat.TEXT, *FORMATS})


class ResourceValue(msgspec.Struct, frozen=True):
    """A value of a resource.

    `data` is a JSON value. `unit` None: the unit in the text of `data`, if there is one. `time` is
    that of a SenML record: below 2**28 relative to the time of receipt.
    """

    resource: str
    data: object
    unit: str | None = None
    time: float = 0.0

    def measured_at(self, received_at: float) -> float:
        """Unix time of the measurement in seconds, or of its receipt if it is implausible."""
        if not self.time:
            return received_at
        at = self.time if self.time >= senml.RELATIVE_BELOW else received_at + self.time
        return at if received_at - AGE_MAX_S <= at <= received_at else received_at


def readable_format(stated: Iterable[str]) -> int | None:
    """The first supported Content-Format of those that a link states with `ct`."""
    for word in stated:
        if word in _READABLE:
            return int(word)
    return None


def content_format(option: bytes | None) -> int | None:
    """The number in a Content-Format option; an empty one is 0, text. Raises `ProtocolError`."""
    if option is None:
        return None
    if len(option) > 2:  # RFC 7252 section 5.10, table 4
        raise ProtocolError("Content-Format has at most 2 bytes")
    return decode_uint(option)


def read_values(payload: bytes, format_: int | None, resource: str) -> list[ResourceValue]:
    """The values in the response to a GET of `resource`. Raises `ProtocolError`.

    The response has one value of that resource, unless it is a SenML pack with several names. In
    such a pack, a record without its own name, or with the name of the resource, is a value of
    the resource. Any other record is a value of `<resource>/<name>`: the name after the base name,
    or only the name if that is a path (`/3/0/9`). If all records have the same name, they are
    values of the resource, with any name. If one name has several units, as in RFC 8428
    section 5.1.4, the first unit is the resource and the others are `<resource>/<unit>`. The sum of
    a record that also has a value is `<resource>/sum`.
    """
    if format_ in SENML:
        return list(_of_pack(_records(payload, format_), resource))
    return [ResourceValue(resource, read_value(payload, format_))]


def read_post_values(payload: bytes, format_: int) -> list[ResourceValue]:
    """The values in a post to `/server` in one of `FORMATS`. Raises `ProtocolError`.

    JSON and CBOR follow the name of the resource and a colon, as text does.
    """
    if format_ in SENML:
        return read_pack(payload, format_)
    name, colon, value = payload.partition(b":")
    try:
        resource = name.decode().strip()
    except UnicodeDecodeError as error:
        raise ProtocolError("not UTF-8") from error
    if not colon or not resource:
        raise ProtocolError("not <resource>:<value>")
    return [ResourceValue(resource, read_value(value, format_))]


def read_pack(payload: bytes, format_: int) -> list[ResourceValue]:
    """The values in a posted SenML pack: the names after the base name are the resources.

    Without such a name, it is the last part of the base name. A name that is a path (`/3/0/9`) is
    the resource as a whole. Raises `ProtocolError`.
    """
    return list(_of_pack(_records(payload, format_), None))


def read_value(payload: bytes, format_: int | None) -> object:
    """One value in a format other than SenML. Raises `ProtocolError`.

    An unknown format is treated as text if it is UTF-8.
    """
    match format_:
        case ContentFormat.JSON:
            try:
                return msgspec.json.decode(quote_long_integers(payload))
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise ProtocolError("not JSON") from error
        case ContentFormat.CBOR:
            return json_value(decode_cbor(payload))
    try:
        # Some firmware includes the terminating zero of the string.
        return payload.decode().rstrip("\0")
    except UnicodeDecodeError as error:
        raise ProtocolError(
            f"content format {format_} is not supported, and its bytes are not text"
        ) from error


def _records(payload: bytes, format_: int | None) -> list[senml.SenmlRecord]:
    if format_ == ContentFormat.SENML_JSON:
        return senml.parse_json(payload)
    return senml.parse_cbor(payload)


def _of_pack(records: list[senml.SenmlRecord], resource: str | None) -> Iterator[ResourceValue]:
    several = len({record.name for record in records}) > 1
    units: dict[str, str] = {}
    # Section 4.6 requires the order of time, which not every node observes.
    for record in sorted(records, key=lambda record: record.unix_time(0.0)):
        name = _resource(record, resource, several=several)
        if units.setdefault(name, record.unit) != record.unit:
            name = f"{name}/{record.unit}"
        if record.value is not None:
            yield ResourceValue(name, _plain(record.value), record.unit, record.time)
        if record.sum is not None:
            name = name if record.value is None else f"{name}/sum"
            unit = _SUM_UNITS.get(record.unit, "")
            yield ResourceValue(name, _plain(record.sum), unit, record.time)


def _resource(record: senml.SenmlRecord, resource: str | None, *, several: bool) -> str:
    if record.name.startswith("/") and (several or resource is None):
        # A path on the node, as LwM2M clients send it.
        return record.name[1:]
    own_name = record.own_name.removeprefix("/")
    if resource is None:
        return own_name or record.name.rstrip(":/").replace(":", "/").rpartition("/")[2]
    is_itself = own_name in ("", resource, resource.rpartition("/")[2])
    return resource if is_itself or not several else f"{resource}/{own_name}"


def _plain(value: senml.SenmlValue) -> senml.SenmlValue:
    """Convert 20.0 to 20: JSON and CBOR do not distinguish them."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


# RFC 8428 section 4.2: the unit of the sum is the unit multiplied by seconds. Few have a name.
_SUM_UNITS: Final = {"W": "J", "A": "C"}
