# SPDX-License-Identifier: BSD-3-Clause
"""Mappings of plain MQTT topics over HTTP."""

from typing import Final

import msgspec
from aiohttp import web

from pyaiot.broker.mappings import MappingBook, MappingId, TrialValue, UnknownMapping
from pyaiot.errors import OperatorError, ProtocolError, Refused
from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.web.api.edits import EditProblems, check_all_nodes, errors_as_problems, read_json
from pyaiot.web.api.mapping_schemas import (
    MappedMessage,
    MappedValue,
    Mappings,
    MappingTrial,
    SavedMapping,
)
from pyaiot.web.api.parameters import Query
from pyaiot.web.api.responses import json_response
from pyaiot.web.auditing import note
from pyaiot.web.problems import ProblemError

_SUBJECT: Final = "using mappings"
"""A mapping can create nodes of any name."""
_PROBLEMS: Final[EditProblems] = {
    UnknownMapping: (404, "unknown-mapping"),
    Refused: (409, "mapping-refused"),
    OperatorError: (409, "mapping-refused"),
}


class MappingsApi:
    """The handlers. They run on the broker's loop."""

    def __init__(self, book: MappingBook | None) -> None:
        """`book` None: there are no mappings, and none can be added."""
        self._book = book

    async def mappings(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /api/mappings`."""
        check_all_nodes(request, _SUBJECT)
        if self._book is None:
            return json_response(Mappings(mappings=[]))
        of_settings = [
            SavedMapping(id=f"settings-{number}", editable=False, mapping=it)
            for number, it in enumerate(self._book.of_settings, 1)
        ]
        saved = [
            SavedMapping(id=name, editable=True, mapping=it)
            for name, it in self._book.saved().items()
        ]
        return json_response(Mappings(mappings=of_settings + saved))

    async def try_mapping(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`POST /api/mapping-trials`."""
        trial = await read_json(request, MappingTrial)
        rules = self._whole_book().rules
        try:
            found = rules.try_message(trial.mapping, trial.topic, trial.payload)
        except (ProtocolError, OperatorError) as error:
            return json_response(MappedMessage(problem=str(error)))
        values = [_value(it) for it in found.values]
        return json_response(MappedMessage(uid=found.uid, name=found.name, values=values))

    async def put_mapping(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`PUT /api/mappings/{mapping}`."""
        check_all_nodes(request, _SUBJECT)
        name = request.match_info["mapping"]
        try:
            msgspec.convert(name, MappingId)
        except msgspec.ValidationError as error:
            raise ProblemError(
                400, "bad-request", "the id of a mapping has lower-case letters, digits and hyphens"
            ) from error
        mapping = await read_json(request, TopicMapping)
        note(request, detail=name)
        with errors_as_problems(_PROBLEMS):
            await self._whole_book().put(name, mapping)
        return json_response(SavedMapping(id=name, editable=True, mapping=mapping))

    async def remove_mapping(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`DELETE /api/mappings/{mapping}`."""
        check_all_nodes(request, _SUBJECT)
        name = request.match_info["mapping"]
        note(request, detail=name[:64])
        with errors_as_problems(_PROBLEMS):
            await self._whole_book().remove(name)
        return web.Response(status=204)

    def _whole_book(self) -> MappingBook:
        if self._book is None:
            raise ProblemError(409, "mapping-refused", "this broker maps no topics")
        return self._book


def _value(it: TrialValue) -> MappedValue:
    reading = it.reading
    return MappedValue(
        resource=reading.resource,
        data=reading.data,
        number=reading.number,
        unit=reading.unit,
        type=it.type,
        command_topic=it.command_topic,
    )
