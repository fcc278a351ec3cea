# SPDX-License-Identifier: BSD-3-Clause
"""How plain MQTT topics become nodes and resources: what people write. Pure."""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

MAPPINGS_MAX: Final = 50
"""Mappings in the settings, and as many that are saved. More are refused."""
FIELDS_MAX: Final = 64
"""Fields or columns of one mapping. More are refused."""
MAPPING_SIZE_MAX: Final = 4096
"""Bytes of a saved mapping as JSON, so that all of them fit into one message. A larger one is
refused."""

PayloadForm: TypeAlias = Literal["text", "json", "csv"]
Topic = Annotated[str, Meta(min_length=1, max_length=256)]


class TopicMapping(
    Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """How plain topics become nodes: one table `[[mqtt.mapping]]`."""

    topic: Topic
    """`sensors/{node}/{resource}`: the levels that name the node and the resource. `+` matches any
    level."""
    payload: PayloadForm = "text"
    """`text`: one value. `json`: all values of an object, or those in `fields`. `csv`: the values
    of a line, named by `columns`."""
    fields: dict[str, str] = {}
    """Of `json`: the path of each resource: `$.a.b[0]`."""
    columns: tuple[str, ...] = ()
    """Of `csv`: the resource of each column; an empty name leaves it out."""
    units: dict[str, str] = {}
    """The unit of a resource, such as `°C`."""
    node: str = ""
    """The name of the node, if the topic does not have it."""
    command: str = ""
    """The topic of commands: `{topic}/set`, with `{topic}`, `{node}` and `{resource}`; empty:
    none."""


def mapping_size(mapping: TopicMapping) -> int:
    """Bytes of a mapping as JSON."""
    return len(msgspec.json.encode(mapping))
