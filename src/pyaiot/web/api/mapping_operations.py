# SPDX-License-Identifier: BSD-3-Clause
"""The operations of the HTTP API about mappings of plain MQTT topics."""

from typing import Final

from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.web.api import mapping_schemas as schemas
from pyaiot.web.api.operation import Operation, ResponseSpec

_EDITS: Final = {
    403: ("not-in-scope",),
    409: ("mapping-refused",),
    415: ("unsupported-type",),
    503: ("registry-unavailable",),
}

MAPPING_OPERATIONS: Final = (
    Operation(
        "mappings",
        "GET",
        "/api/mappings",
        "The mappings of plain MQTT topics",
        {200: ResponseSpec("Those of the settings file, then the saved ones.", schemas.Mappings)},
        problems={403: ("not-in-scope",)},
        for_admins=True,
    ),
    Operation(
        "try_mapping",
        "POST",
        "/api/mapping-trials",
        "Try a mapping with a message",
        {200: ResponseSpec("The node and the values, or the reason.", schemas.MappedMessage)},
        description="Nothing is saved, and nothing is sent.",
        json_body=schemas.MappingTrial,
        problems={415: ("unsupported-type",)},
    ),
    Operation(
        "put_mapping",
        "PUT",
        "/api/mappings/{mapping}",
        "Add or replace a mapping",
        {200: ResponseSpec("The mapping.", schemas.SavedMapping)},
        description="It is on disk when the response is sent, and the gateways of MQTT use it at"
        " once. Nodes of a mapping that changed return with their next message.",
        json_body=TopicMapping,
        problems=_EDITS,
        for_admins=True,
    ),
    Operation(
        "remove_mapping",
        "DELETE",
        "/api/mappings/{mapping}",
        "Remove a mapping",
        {204: ResponseSpec("It is removed, and its nodes are offline.")},
        problems={**_EDITS, 404: ("unknown-mapping",)},
        for_admins=True,
    ),
)
