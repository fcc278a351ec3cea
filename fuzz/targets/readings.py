# SPDX-License-Identifier: BSD-3-Clause
"""Text and JSON values of devices."""

import contextlib
import math

import msgspec

from pyaiot.readings import TEXT_LENGTH_MAX, read_quantity

CORPUS: list[bytes] = [
    text.encode()
    for text in (
        "23.5°C",
        "1006.60hPa",
        "1007.7hPa",
        "--327.-6°C",
        "42949672.-1hPa",
        "0.00%",
        "100.77 kPa",
        "98.6°F",
        "0.05g/m³",
        "1500µA",
        "-1.5e-05V",
        "1e+308kV",
        "0",
        "-71dBm",
        "2026.07",
        '{"lat":48.714784,"lng":2.205502}',
        '[{"type":"acc","values":[304,488,448]}]',
        "-12",
        "true",
        "12:0:0",
        "8\x1f",
        "",
    )
]


def fuzz_one(data: bytes) -> None:
    """Nothing raises: a value that is not a quantity is None."""
    text = data.decode("utf-8", "surrogateescape")
    for resource in ("", "temperature", "humidity", "version"):
        check(text, resource)
    with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        check(msgspec.json.decode(data), "temperature")


def check(value: object, resource: str) -> None:
    quantity = read_quantity(value, resource)
    if quantity is None:
        return
    assert resource != "version"
    assert math.isfinite(quantity.number)
    assert not isinstance(value, bool)
    if isinstance(value, str):
        assert len(value) <= TEXT_LENGTH_MAX
        assert value.strip()[0] in "+-0123456789"
    if quantity.unit == "":
        assert isinstance(value, str | int | float)
        assert quantity.number == float(value)
