# SPDX-License-Identifier: BSD-3-Clause
"""A mapping from plain MQTT topics to nodes and resources, as people write it. Pure."""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

MAPPINGS_MAX: Final = 50
"""Largest number of mappings in the settings, and of saved ones. Further ones are refused."""
FIELDS_MAX: Final = 64
"""Largest number of fields or columns of one mapping. More are refused."""
MAPPING_SIZE_MAX: Final = 4096
"""Largest size of a saved mapping in bytes of JSON, so that all mappings fit into one message.
Larger ones are refused.
"""

PayloadForm: TypeAlias = Literal["text", "json", "csv"]
Topic = Annotated[str, Meta(min_length=1, max_length=256)]


class TopicMapping(
    Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A table `[[mqtt.mapping]]` of the settings file."""

    topic: Topic
    """Topic pattern, such as `sensors/{node}/{resource}`, with the levels that contain the names
    of node and resource. `+` matches any level.
    """
    payload: PayloadForm = "text"
    """`text`: one value. `json`: all values of an object, or those in `fields`. `csv`: the values
    of a line, named by `columns`."""
    fields: dict[str, str] = {}
    """For `json`: the path of each resource, such as `$.a.b[0]`."""
    columns: tuple[str, ...] = ()
    """For `csv`: the resource of each column; an empty name skips the column."""
    units: dict[str, str] = {}
    """Units by resource, such as `°C`."""
    node: str = ""
    """Name of the node, if the topic does not contain it."""
    command: str = ""
    """Topic for commands, such as `{topic}/set`, with `{topic}`, `{node}` and `{resource}`; empty:
    no commands.
    """


def mapping_size(mapping: TopicMapping) -> int:
    """Size of a mapping in bytes of JSON."""
    return len(msgspec.json.encode(mapping))
