# SPDX-License-Identifier: BSD-3-Clause
"""Requests to the HTTP API of a broker, and its refusals as errors."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, TypeVar

import aiohttp
import msgspec
from yarl import URL

from pyaiot.client.address import BrokerAddress, BrokerAddresses
from pyaiot.client.connection import FAILOVER_CONNECT_LIMIT_S, FORBIDDEN, UNAUTHORIZED
from pyaiot.client.errors import ApiProblem
from pyaiot.client.session import login_needed, no_broker
from pyaiot.errors import LinkLost

ANSWER_LIMIT_S: Final = 60.0
"""Longest pause in an answer. Then the connection is lost."""
CONNECT_LIMIT_S: Final = 10.0
"""Time to connect. Then the request fails."""

_NOT_CONNECTED: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

UrlQuery: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
B = TypeVar("B")


class _ProblemDocument(msgspec.Struct):
    """The used fields of a problem document (RFC 9457)."""

    type: str = ""
    title: str = ""
    detail: str = ""


_problem: Final = msgspec.json.Decoder(_ProblemDocument)


class HttpApi:
    """The API of a broker, or of one of several.

    Each method raises `OperatorError` if the broker does not answer or refuses, and `LinkLost` if
    the answer is interrupted.
    """

    def __init__(self, session: aiohttp.ClientSession, addresses: BrokerAddresses) -> None:
        self._addresses = addresses
        self._session = session

    @property
    def address(self) -> BrokerAddress:
        """The address of the broker that gets the requests."""
        return self._addresses.current

    async def open(
        self,
        method: str,
        url_path: str,
        query: UrlQuery = (),
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        answer_limit_s: float = ANSWER_LIMIT_S,
    ) -> aiohttp.ClientResponse:
        """A successful answer, which the caller closes. `body` is sent as JSON."""
        several = len(self._addresses) > 1
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=FAILOVER_CONNECT_LIMIT_S if several else CONNECT_LIMIT_S,
            sock_read=answer_limit_s,
        )
        data = None if body is None else msgspec.json.encode(body)
        content_type = {} if body is None else {"Content-Type": "application/json"}
        params = dict(query) if isinstance(query, Mapping) else list(query)
        for number in range(1, len(self._addresses) + 1):
            address = self.address
            try:
                answer = await self._session.request(
                    method,
                    # Already encoded: keeps encoded slashes in names.
                    URL(address.http_url + url_path, encoded=True),
                    params=params,
                    data=data,
                    headers={**content_type, **(headers or {})},
                    timeout=timeout,
                )
                break
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                # Only what certainly did not arrive is sent to another broker.
                if number == len(self._addresses) or not isinstance(error, _NOT_CONNECTED):
                    raise no_broker(address, error) from error
                self._addresses.failed(address)
        if answer.status not in (200, 204):
            async with answer:
                raise await _refusal(answer)
        return answer

    async def read(
        self,
        method: str,
        url_path: str,
        query: UrlQuery = (),
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        answer_limit_s: float = ANSWER_LIMIT_S,
    ) -> bytes:
        """The whole body of a successful answer."""
        async with await self.open(
            method, url_path, query, body=body, headers=headers, answer_limit_s=answer_limit_s
        ) as answer:
            try:
                return await answer.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise LinkLost("the answer was interrupted") from error

    def decode(self, decoder: msgspec.json.Decoder[B], body: bytes, what: str) -> B:
        """The body of an answer. `what` it should contain, for the error if it does not."""
        try:
            return decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise no_broker(self.address, f"it does not answer with {what}") from error


async def _refusal(answer: aiohttp.ClientResponse) -> Exception:
    if answer.status == UNAUTHORIZED:
        return login_needed()
    try:
        problem = _problem.decode(await answer.read())
    except (msgspec.MsgspecError, aiohttp.ClientError, OSError, TimeoutError):
        problem = _ProblemDocument()
    if answer.status == FORBIDDEN and not problem.title:
        problem = _ProblemDocument(title="it does not accept this host name")
    reason = ": ".join(part.rstrip(".") for part in (problem.title, problem.detail) if part)
    return ApiProblem(
        f"The broker refuses ({answer.status}): {reason or 'it records no history'}.",
        status=answer.status,
        kind=problem.type.partition("#problem-")[2],
        detail=problem.detail,
    )
