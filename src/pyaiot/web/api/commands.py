# SPDX-License-Identifier: BSD-3-Clause
"""`PUT /api/nodes/{uid}/resources/{name}` and `/api/commands/{id}`: commands and their receipts."""

from typing import Final

from aiohttp import hdrs, web

from pyaiot.errors import ProtocolError
from pyaiot.messages import check_name, check_uid, check_value
from pyaiot.web.api.idempotency import KEY_LENGTH_MAX, HttpCommand, HttpCommandTable
from pyaiot.web.api.parameters import Query, WriteQuery
from pyaiot.web.api.responses import json_response, while_connected
from pyaiot.web.problems import ProblemError
from pyaiot.web.sign_in import SESSION_ID

_STATUS: Final = {"confirmed": 200, "sent": 202, "pending": 202}
_PROBLEMS: Final = {
    "refused": (502, "refused"),
    "timeout": (504, "timeout"),
    "unreachable": (503, "unreachable"),
    "unknown": (404, "unknown-node"),
    "forbidden": (429, "too-fast"),
}


class CommandsApi:
    """The handlers of commands."""

    def __init__(self, commands: HttpCommandTable) -> None:
        self._commands = commands

    async def write(self, request: web.Request, query: WriteQuery) -> web.StreamResponse:
        uid, resource = request.match_info["uid"], request.match_info["name"]
        try:
            check_uid(uid)
            check_name(resource, "resource")
        except ProtocolError as error:
            raise ProblemError(404, "unknown-node", str(error)) from error
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > KEY_LENGTH_MAX:
            raise ProblemError(
                400, "bad-request", f"an Idempotency-Key has at most {KEY_LENGTH_MAX} characters"
            )
        # A client without a session is identified by its address.
        program = request.get(SESSION_ID) or f"at {request.remote}"
        payload = await _payload(request)
        command = self._commands.issue(program, uid, resource, payload, query.timeout, key)
        if command.receipt is None and not _prefers_async(request):
            await while_connected(request, command.ended())
        return self._respond(request, command)

    async def command(self, request: web.Request, _query: Query) -> web.StreamResponse:
        command = self._commands.find(request.match_info["id"])
        if command is None:
            raise ProblemError(
                404, "unknown-command", "the command does not exist or was forgotten"
            )
        return json_response(command.status())

    def _respond(self, request: web.Request, command: HttpCommand) -> web.Response:
        status = command.status()
        headers: dict[str, str] = {}
        if self._commands.remembers(command):
            headers[hdrs.LOCATION] = f"/api/commands/{command.command_id}"
        if status.state in _STATUS:
            if _prefers_async(request):
                headers["Preference-Applied"] = "respond-async"
            return json_response(status, status=_STATUS[status.state], headers=headers)
        code, kind = _PROBLEMS[status.state]
        raise ProblemError(
            code,
            kind,
            status.detail or f"the state of the command is {status.state}",
            command=status,
            retry_after_s=1 if status.state == "forbidden" else None,
            headers=headers,
        )


async def _payload(request: web.Request) -> str:
    body = await request.read()
    try:
        payload = body.decode()
    except UnicodeDecodeError as error:
        raise ProblemError(400, "bad-request", "the body is not valid UTF-8") from error
    try:
        check_value(payload)
    except ProtocolError as error:
        raise ProblemError(413, "bad-request", str(error)) from error
    return payload


def _prefers_async(request: web.Request) -> bool:
    """Whether the client sent `Prefer: respond-async` (RFC 7240 section 4.1)."""
    preferences = ",".join(request.headers.getall("Prefer", ())).split(",")
    return any(
        preference.partition(";")[0].strip().lower() == "respond-async"
        for preference in preferences
    )
