# SPDX-License-Identifier: BSD-3-Clause
"""The parts that all edits over HTTP share: body, scope, revision, and errors as problems."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias, TypeVar

import msgspec
from aiohttp import hdrs, web

from pyaiot.errors import ProtocolError, PyaiotError, requirement
from pyaiot.registry.refusals import NotStored, StaleRevision
from pyaiot.web.client_access import access_of
from pyaiot.web.problems import ProblemError

JSON_TYPES: Final = ("application/json", "application/merge-patch+json")

EditProblems: TypeAlias = Mapping[type[PyaiotError], tuple[int, str]]
"""Status and kind of the problem of each error, subclasses first."""

_ALWAYS: Final[EditProblems] = {
    StaleRevision: (412, "edited-meanwhile"),
    ProtocolError: (400, "bad-request"),
    NotStored: (503, "registry-unavailable"),
}
_RETRY_AFTER_S: Final = 5

B = TypeVar("B")


async def read_json(request: web.Request, kind: type[B]) -> B:
    """The body of a request. Raises `ProblemError`."""
    if request.content_type not in JSON_TYPES:
        raise ProblemError(415, "unsupported-type", f"the body must be {JSON_TYPES[0]}")
    body = await request.read()
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProblemError(400, "bad-request", requirement(str(error), kind)[:300]) from error


def check_all_nodes(request: web.Request, subject: str) -> None:
    """Raise `ProblemError` if the client sees a part of the nodes. `subject`: for the text."""
    if not access_of(request).scope.has_all_nodes:
        raise ProblemError(403, "not-in-scope", f"{subject} needs access to all nodes")


def required_revision(request: web.Request, subject: str) -> int | None:
    """The revision in `If-Match`; 0: the document must not exist; None: the client accepts any.
    `subject`: for the text. Raises `ProblemError`."""
    header = request.headers.get(hdrs.IF_MATCH, "*").strip()
    if header == "*":
        return None
    etag = re.fullmatch(r'"?([0-9]{1,18})"?', header)
    if etag is None:
        raise ProblemError(400, "bad-request", f"If-Match must be the ETag of {subject}, or *")
    return int(etag[1])


@contextmanager
def errors_as_problems(problems: EditProblems) -> Iterator[None]:
    """Turn errors of an edit into `ProblemError`. `problems`: in addition to those of all edits."""
    try:
        yield
    except PyaiotError as error:
        for kind, (status, name) in {**_ALWAYS, **problems}.items():
            if isinstance(error, kind):
                raise ProblemError(
                    status,
                    name,
                    str(error),
                    retry_after_s=_RETRY_AFTER_S if status == 503 else None,
                ) from error
        raise
