# SPDX-License-Identifier: BSD-3-Clause
"""`PUT /api/nodes/{uid}/resources/{name}` and `/api/commands/{id}`: commands and their receipts."""

from typing import Final

from aiohttp import hdrs, web

from pyaiot.errors import ProtocolError
from pyaiot.messages import check_name, check_uid, check_value
from pyaiot.web.api.idempotency import KEY_LENGTH_MAX, Commands, Wish
from pyaiot.web.api.parameters import Query, WriteQuery
from pyaiot.web.api.responses import json_answer, while_present
from pyaiot.web.problems import ProblemError
from pyaiot.web.sign_in import PROGRAM

_ANSWERED: Final = {"confirmed": 200, "sent": 202, "pending": 202}
_PROBLEMS: Final = {
    "refused": (502, "refused"),
    "timeout": (504, "timeout"),
    "unreachable": (503, "unreachable"),
    "unknown": (404, "unknown-node"),
    "forbidden": (429, "too-fast"),
}


class WritingApi:
    """The handlers."""

    def __init__(self, commands: Commands) -> None:
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
        # Who has no session is told apart by address.
        program = request.get(PROGRAM) or f"at {request.remote}"
        payload = await _payload(request)
        wish = self._commands.give(program, uid, resource, payload, query.timeout, key)
        if wish.receipt is None and not _wants_no_wait(request):
            await while_present(request, wish.ended())
        return self._answer(request, wish)

    async def command(self, request: web.Request, _query: Query) -> web.StreamResponse:
        wish = self._commands.find(request.match_info["id"])
        if wish is None:
            raise ProblemError(404, "unknown-command", "there is no such command, or no longer")
        return json_answer(wish.answer())

    def _answer(self, request: web.Request, wish: Wish) -> web.Response:
        command = wish.answer()
        headers: dict[str, str] = {}
        if self._commands.remembers(wish):
            headers[hdrs.LOCATION] = f"/api/commands/{wish.command_id}"
        if command.state in _ANSWERED:
            if _wants_no_wait(request):
                headers["Preference-Applied"] = "respond-async"
            return json_answer(command, status=_ANSWERED[command.state], headers=headers)
        status, kind = _PROBLEMS[command.state]
        raise ProblemError(
            status,
            kind,
            command.detail or f"the command ended in {command.state}",
            command=command,
            retry_after_s=1 if command.state == "forbidden" else None,
            headers=headers,
        )


async def _payload(request: web.Request) -> str:
    body = await request.read()
    try:
        payload = body.decode()
    except UnicodeDecodeError as error:
        raise ProblemError(400, "bad-request", "the body is not text in UTF-8") from error
    try:
        check_value(payload)
    except ProtocolError as error:
        raise ProblemError(413, "bad-request", str(error)) from error
    return payload


def _wants_no_wait(request: web.Request) -> bool:
    """RFC 7240 section 4.1."""
    wishes = ",".join(request.headers.getall("Prefer", ())).split(",")
    return any(wish.partition(";")[0].strip().lower() == "respond-async" for wish in wishes)
