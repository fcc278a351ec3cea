# SPDX-License-Identifier: BSD-3-Clause
"""Resource types: kind, unit, limits, choices, and the representation that the device uses. Pure.

`ResourceType` describes a resource. `infer` and `type_of_link` derive it, `merge` combines several
sources, `decode` parses a value, and `encode` formats one for the device.
"""

from pyaiot.model.decoding import Coordinates, TypedValue, decode
from pyaiot.model.encoding import READ_ONLY, encode, payload_for
from pyaiot.model.inference import infer, is_evident
from pyaiot.model.link_types import type_of_link
from pyaiot.model.types import (
    CHOICE_LENGTH_MAX,
    CHOICES_MAX,
    PRECISION_MAX,
    TYPE_TEXT_LENGTH_MAX,
    UNKNOWN,
    ColourForm,
    ResourceKind,
    ResourceType,
    Source,
    certain,
    check_type,
    fitted,
    merge,
    resolve,
)
from pyaiot.model.words import words_like

__all__ = [
    "CHOICES_MAX",
    "CHOICE_LENGTH_MAX",
    "PRECISION_MAX",
    "READ_ONLY",
    "TYPE_TEXT_LENGTH_MAX",
    "UNKNOWN",
    "ColourForm",
    "Coordinates",
    "ResourceKind",
    "ResourceType",
    "Source",
    "TypedValue",
    "certain",
    "check_type",
    "decode",
    "encode",
    "fitted",
    "infer",
    "is_evident",
    "merge",
    "payload_for",
    "resolve",
    "type_of_link",
    "words_like",
]
