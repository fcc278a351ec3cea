# SPDX-License-Identifier: BSD-3-Clause
"""The description of one operation of the HTTP API. The lists of operations consist of them."""

from collections.abc import Mapping

import msgspec

from pyaiot.accounts.roles import Role
from pyaiot.web.api.parameters import Query


class ResponseSpec(msgspec.Struct, frozen=True):
    """The response with a status that is not a problem."""

    description: str
    body: type[msgspec.Struct] | None = None
    """The type of the JSON body."""
    other_types: tuple[str, ...] = ()
    """Other media types that a client may request."""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Names and descriptions."""
    is_any_json: bool = False
    """The body is any JSON value."""


class RequestHeader(msgspec.Struct, frozen=True):
    """An optional header of a request."""

    name: str
    description: str
    length_max: int | None = None
    pattern: str = ""
    example: str = ""


class Operation(msgspec.Struct, frozen=True):
    """One method of one path."""

    name: str
    method: str
    path: str
    summary: str
    responses: Mapping[int, ResponseSpec]
    description: str = ""
    query: type[Query] = Query
    headers: tuple[RequestHeader, ...] = ()
    body: str = ""
    """Description of the body of the request, if it is text; otherwise empty."""
    body_types: tuple[str, ...] = ()
    """Media types of a body other than text; empty: the body is text."""
    json_body: type[msgspec.Struct] | None = None
    """Type of the body of the request, if it is JSON."""
    problems: Mapping[int, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Statuses and kinds of problems. Every operation may also return 400, 401, 403 and 500."""
    conditional: bool = False
    """Whether it supports `If-None-Match` and returns 304."""
    for_admins: bool = False

    @property
    def role(self) -> Role:
        """The role that a client needs if clients must sign in."""
        if self.for_admins:
            return "admin"
        return "viewer" if self.method == "GET" else "operator"
