# SPDX-License-Identifier: BSD-3-Clause
"""Writes settings as TOML. Pure: the standard library only reads it."""

import json
import math
from collections.abc import Mapping

from pyaiot.config.python_file import Scalar


def toml_text(values: Mapping[str, Scalar]) -> str:
    """A TOML document with these settings, by their keys (`section.name`)."""
    sections: dict[str, list[str]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(f"{name} = {_value(value)}\n")
    return "\n".join(f"[{name}]\n{''.join(lines)}" for name, lines in sections.items())


def _value(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, str):
        # A basic string has the escapes of JSON. DEL is a control character in TOML only.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
