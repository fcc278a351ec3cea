# SPDX-License-Identifier: BSD-3-Clause
"""Sensor Measurement Lists (RFC 8428), in JSON and CBOR: parses a pack into resolved records.
Pure."""

import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.protocols.cbor import decode_cbor

_VERSION: Final = 10  # RFC 8428 section 4.4
RECORDS_MAX: Final = 1024
"""Records of one pack. A pack with more is refused."""
UNIT_LENGTH_MAX: Final = 32
"""Characters of a unit. Registered units have at most 10. A pack with a longer one is refused."""
_INTEGER_MAX: Final = 2**53
RELATIVE_BELOW: Final = 2.0**28
"""RFC 8428 section 4.5.3: a time below this is relative to now, else it is Unix time."""

SenmlValue: TypeAlias = float | str | bool
"""A number, text (`vd` as base64url), or a boolean."""


class SenmlRecord(msgspec.Struct, frozen=True):
    """A resolved record, with its base values applied (RFC 8428 section 4.6).

    `name` is the whole name, `own_name` the part of the record without the base name. `value` is
    None for a record that has only a sum. `time` is in seconds: below 2**28 relative to the time of
    receipt (0: now), else Unix time.
    """

    name: str
    own_name: str = ""
    unit: str = ""
    time: float = 0.0
    value: SenmlValue | None = None
    sum: float | None = None
    update_time: float | None = None

    def unix_time(self, now: float) -> float:
        """The Unix time of the measurement, in seconds. `now`: the current Unix time."""
        return self.time if self.time >= RELATIVE_BELOW else now + self.time


def parse_json(payload: bytes) -> list[SenmlRecord]:
    """The records of `application/senml+json` (section 5). Raises `ProtocolError`."""
    try:
        return _records(msgspec.json.decode(payload))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError("SenML: not JSON") from error


def parse_cbor(payload: bytes) -> list[SenmlRecord]:
    """The records of `application/senml+cbor` (section 6). Raises `ProtocolError`."""
    return _records(decode_cbor(payload))


def _records(pack: object) -> list[SenmlRecord]:
    if not isinstance(pack, list):
        raise ProtocolError("SenML: a pack must be an array")
    if len(pack) > RECORDS_MAX:
        raise ProtocolError(f"SenML: more than {RECORDS_MAX} records")
    return list(_resolved(pack))


def _resolved(pack: list[object]) -> Iterator[SenmlRecord]:
    base: dict[str, Any] = {}
    for item in pack:
        if not isinstance(item, dict):
            raise ProtocolError("SenML: a record must be a map")
        fields = _fields(item)
        # Section 4.1: a base value applies from its record on, until it is replaced.
        base.update({label: value for label, value in fields.items() if label in _BASE})
        # Section 4.4. An older version is parsed as the current one.
        if base.get("bver", _VERSION) > _VERSION:
            raise ProtocolError(f"SenML: version {base['bver']}; at most {_VERSION} is supported")
        record = _record(fields, base)
        if record is not None:
            yield record


def _fields(item: Mapping[object, object]) -> dict[str, Any]:
    """The known fields by JSON label, with checked types."""
    fields: dict[str, Any] = {}
    for key, value in item.items():
        label = _CBOR_LABELS.get(key, "") if isinstance(key, int) else str(key)
        kind = _KINDS.get(label)
        if kind is None:
            # Section 4.4: a pack with an unknown field that ends in `_` must be refused.
            if label.endswith("_"):
                raise ProtocolError(f"SenML: the field {label[:20]!r} must be understood")
            continue
        if label in fields:
            raise ProtocolError(f"SenML: {label} occurs twice in a record")
        fields[label] = _checked(label, kind, value)
    return fields


def _checked(label: str, kind: type, value: object) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if label == "v" and isinstance(value, int) and _INTEGER_MAX < abs(value) <= 2**64:
            return value  # see `_exact`
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    elif label == "vd" and isinstance(value, bytes):
        # Section 6: bytes in CBOR correspond to base64url in JSON, without padding.
        return urlsafe_b64encode(value).rstrip(b"=").decode()
    elif kind is not float and isinstance(value, kind):
        return value
    raise ProtocolError(f"SenML: {label} has the wrong type")


def _record(fields: Mapping[str, Any], base: Mapping[str, Any]) -> SenmlRecord | None:
    values = [label for label in ("v", "vs", "vb", "vd") if label in fields]
    if len(values) > 1:  # section 4.2
        raise ProtocolError("SenML: a record has more than one value")
    value: SenmlValue | None = None
    if values == ["v"] or (not values and "bv" in base and not _REGULAR.isdisjoint(fields)):
        value = _exact(fields["v"]) if "bv" not in base else base["bv"] + fields.get("v", 0.0)
    elif values:
        value = fields[values[0]]
    total = None
    if "s" in fields or ("bs" in base and not _REGULAR.isdisjoint(fields)):
        total = base.get("bs", 0.0) + fields.get("s", 0.0)
    if value is None and total is None:
        # A record with base values only, as in section 5.1.7.
        return None
    numbers = (number for number in (value, total) if isinstance(number, float))
    if not all(map(math.isfinite, numbers)):
        raise ProtocolError("SenML: a number is not finite")
    own_name = fields.get("n", "")
    name = base.get("bn", "") + own_name
    # Deviation from section 4.5.1: an empty name is allowed and means the requested resource.
    if name and not _NAME.fullmatch(name):
        raise ProtocolError("SenML: a name may only contain A-Z a-z 0-9 - : . / _")
    unit = fields.get("u", base.get("bu", ""))
    if len(unit) > UNIT_LENGTH_MAX or not unit.isprintable():
        raise ProtocolError("SenML: invalid unit")
    return SenmlRecord(
        name,
        own_name,
        unit,
        fields.get("t", 0.0) + base.get("bt", 0.0),
        value,
        total,
        fields.get("ut"),
    )


def _exact(number: float) -> SenmlValue:
    """A number; text for an integer that a double cannot represent, so that it keeps its digits."""
    return str(number) if isinstance(number, int) else number


_BASE: Final = frozenset({"bver", "bn", "bt", "bu", "bv", "bs"})
_REGULAR: Final = frozenset({"n", "u", "v", "t", "ut"})
# Sections 4.1 and 4.2.
_KINDS: Final[dict[str, type]] = {
    **dict.fromkeys(("bver", "bt", "bv", "bs", "v", "s", "t", "ut"), float),
    **dict.fromkeys(("bn", "bu", "n", "u", "vs", "vd"), str),
    "vb": bool,
}
# Section 6, table 4.
_CBOR_LABELS: Final = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
# LwM2M clients write paths, with a `/` first, which the section does not allow.
_NAME: Final = re.compile(r"/?+[A-Za-z0-9][A-Za-z0-9\-:./_]*+")
_OTHER: Final = re.compile(r"_(?=[0-9a-f]{2})|[^A-Za-z0-9\-:._]")


def name_of(uid: str, resource: str) -> str:
    """A SenML name for a resource of a node, with the characters of section 4.5.1.

    Other characters become `_` and two hexadecimal digits per byte. An `_` that could be read as
    such an escape is escaped too, so no two resources share a name.
    """
    return f"pyaiot:{_escaped(uid)}/{_escaped(resource)}"


def _escaped(text: str) -> str:
    return _OTHER.sub(lambda found: "".join(f"_{byte:02x}" for byte in found[0].encode()), text)
