# SPDX-License-Identifier: BSD-3-Clause
"""`PUT /api/nodes/{uid}/resources/{name}` and `/api/commands/{id}`: commands and their receipts."""

import asyncio
import itertools
from typing import Final

import msgspec
from aiohttp import hdrs, web

from pyaiot.audit.entry import Principal
from pyaiot.broker.broker import Broker
from pyaiot.broker.client_rates import COMMANDS_BURST, COMMANDS_PER_S
from pyaiot.errors import ProtocolError
from pyaiot.messages import check_name, check_uid, check_value
from pyaiot.transport.rate_limit import RateLimit
from pyaiot.web.api.edits import read_json
from pyaiot.web.api.http_command import HttpCommand
from pyaiot.web.api.idempotency import KEY_LENGTH_MAX, HttpCommandTable
from pyaiot.web.api.nodes import sees
from pyaiot.web.api.parameters import FilterQuery, Query, WriteQuery
from pyaiot.web.api.registry import select
from pyaiot.web.api.responses import json_response, while_connected
from pyaiot.web.api.schemas import CommandForMany, CommandStatuses
from pyaiot.web.auditing import principal_of
from pyaiot.web.client_access import quota_owner_of
from pyaiot.web.problems import ProblemError

NODES_OF_COMMAND_MAX: Final = 1000
"""Largest number of nodes that one request may write to."""
REQUESTS_FOR_MANY_MAX: Final = 8
"""Largest number of such requests at the same time. A further one is answered 503."""

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

    def __init__(self, broker: Broker, commands: HttpCommandTable) -> None:
        self._broker = broker
        self._commands = commands
        self._many = 0
        """Number of requests for several nodes that are in progress."""
        self._numbers = itertools.count(1)

    async def write(self, request: web.Request, query: WriteQuery) -> web.StreamResponse:
        uid, resource = request.match_info["uid"], request.match_info["name"]
        try:
            check_uid(uid)
            check_name(resource, "resource")
        except ProtocolError as error:
            raise ProblemError(404, "unknown-node", str(error)) from error
        key = _idempotency_key(request)
        if not sees(self._broker, request, uid):
            # Nodes that do not exist get the same answer, so that it does not reveal which nodes
            # exist.
            raise ProblemError(
                403, "not-in-scope", f"the node {uid} is not in the scope of this client"
            )
        program = quota_owner_of(request)
        payload = await _payload(request)
        command = await self._commands.issue_once(
            *(program, uid, resource, payload, query.timeout, key), principal_of(request)
        )
        if command.receipt is None and not _prefers_async(request):
            await while_connected(request, command.ended())
        return self._respond(request, command)

    async def write_nodes(self, request: web.Request, query: FilterQuery) -> web.StreamResponse:
        """`POST /api/commands`."""
        body = await read_json(request, CommandForMany)
        try:
            resource = check_name(body.resource, "resource")
        except ProtocolError as error:
            raise ProblemError(404, "unknown-resource", str(error)) from error
        _check_payload(body.payload)
        nodes = await select(self._broker, request, query, NODES_OF_COMMAND_MAX)
        if self._many >= REQUESTS_FOR_MANY_MAX:
            raise ProblemError(
                503, "busy", f"{REQUESTS_FOR_MANY_MAX} such requests are running", retry_after_s=1
            )
        self._many += 1
        try:
            program = f"{quota_owner_of(request)}, request for many {next(self._numbers)}"
            uids = [node.uid for node in nodes]
            issuing = self._issue_many(program, uids, resource, body, principal_of(request))
            commands = await while_connected(request, issuing)
        finally:
            self._many -= 1
        return json_response(CommandStatuses(commands=[it.status() for it in commands]))

    async def _issue_many(
        self,
        program: str,
        uids: list[str],
        resource: str,
        body: CommandForMany,
        principal: Principal,
    ) -> list[HttpCommand]:
        """Issue a command to each node, within the rate limit of a client, and wait for all
        receipts."""
        clock = asyncio.get_running_loop().time
        rate = RateLimit(per_s=COMMANDS_PER_S, burst=COMMANDS_BURST, now=clock())
        commands = []
        for uid in uids:
            if wait_s := rate.take(clock()):
                await asyncio.sleep(wait_s)
                rate.take(clock())
            commands.append(
                self._commands.issue(
                    *(program, uid, resource, body.payload, body.timeout, ""), principal
                )
            )
        for command in commands:
            await command.ended()
        return commands

    async def command(self, request: web.Request, _query: Query) -> web.StreamResponse:
        command = await self._commands.find_anywhere(request.match_info["id"])
        if command is None or not sees(self._broker, request, command.uid):
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


def _idempotency_key(request: web.Request) -> str:
    """The idempotency key of a command; empty if it has none. Raises `ProblemError`."""
    keys = request.headers.getall("Idempotency-Key", [])
    if not keys:
        return ""
    # A program that sends an empty key, or two keys, relies on the command not being repeated.
    if len(keys) > 1 or not 0 < len(keys[0]) <= KEY_LENGTH_MAX:
        raise ProblemError(
            400, "bad-request", f"one Idempotency-Key of 1 to {KEY_LENGTH_MAX} characters"
        )
    return keys[0]


async def _payload(request: web.Request) -> str:
    body = await request.read()
    try:
        payload = body.decode()
    except UnicodeDecodeError as error:
        raise ProblemError(400, "bad-request", "the body is not valid UTF-8") from error
    if request.content_type == "application/json":
        payload = _unquoted(payload)
    _check_payload(payload)
    return payload


def _unquoted(body: str) -> str:
    """The content of a quoted JSON text; any other payload is unchanged: programs send text as
    JSON."""
    try:
        return msgspec.json.decode(body, type=str)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return body


def _check_payload(payload: str) -> None:
    """Raises `ProblemError`."""
    try:
        check_value(payload)
    except ProtocolError as error:
        raise ProblemError(413, "bad-request", str(error)) from error


def _prefers_async(request: web.Request) -> bool:
    """Whether the client sent `Prefer: respond-async` (RFC 7240 section 4.1)."""
    preferences = ",".join(request.headers.getall("Prefer", ())).split(",")
    return any(
        preference.partition(";")[0].strip().lower() == "respond-async"
        for preference in preferences
    )
