# SPDX-License-Identifier: BSD-3-Clause
"""Types of resources: metadata of a device, decoded values, encoded commands."""

import contextlib

import msgspec

from pyaiot.errors import ProtocolError
from pyaiot.model import (
    ResourceType,
    check_type,
    decode,
    encode,
    fitted,
    infer,
    merge,
    payload_for,
    resolve,
    type_of_link,
)

CORPUS: list[bytes] = [
    b'{"kind":"number","unit":"Cel","minimum":5,"maximum":30}\n21.5',
    b'{"kind":"boolean","on":"ON","off":"OFF"}\ntrue',
    b'{"kind":"enum","choices":["a","b"]}\nB',
    b'{"kind":"command","on":"PRESS"}\n',
    b'{"kind":"colour","form":"rgb"}\n#ff8800',
    b'{"kind":"position"}\n{"lat":48.7,"lng":2.2}',
    b'{"kind":"vector"}\n[{"type":"acc","values":[1,2,3]}]',
    b'{"kind":"json"}\n{"a":[1]}',
    b'{"kind":"text","minimum":1,"maximum":10,"label":"Name"}\nhello',
    b'{"precision":2,"step":0.5,"writable":false,"device_class":"x"}\n0',
    b"led\n1",
    b'{"kind":"number"}\n\x1f1',
    b"",
]

_decode_type = msgspec.json.Decoder(ResourceType).decode


def fuzz_one(data: bytes) -> None:
    """Any metadata gives a valid type, and any command a payload or a short reason."""
    head, _, tail = data.partition(b"\n")
    text = tail.decode("utf-8", "replace")
    name = head[:64].decode("utf-8", "replace")
    values: list[object] = [text]
    with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        values.append(msgspec.json.decode(tail))
    stated = _type_of(head)
    for value in values:
        inferred = check_type(infer(name, value))
        link = check_type(type_of_link(rt=name.split(), content_formats=[name], title=text))
        for it in (stated, inferred, merge(stated, inferred), resolve(None, link, inferred)):
            check(check_type(it), value)


def _type_of(head: bytes) -> ResourceType:
    try:
        return fitted(_decode_type(head))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ResourceType()


def check(it: ResourceType, value: object) -> None:
    reason = ""
    try:
        payload = encode(it, value)
    except ProtocolError as error:
        reason = str(error)
        assert 0 < len(reason) <= 256
    else:
        assert isinstance(payload, str)
        if it.kind in ("number", "boolean", "colour", "position", "vector", "json"):
            decode(it, payload)
    with contextlib.suppress(ProtocolError):
        decode(it, value)
    with contextlib.suppress(ProtocolError):
        payload_for(it, ResourceType(), value)
