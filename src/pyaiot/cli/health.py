# SPDX-License-Identifier: BSD-3-Clause
"""`aiot health`: whether a running service works, for health checks of containers and monitors.

It starts many times an hour, so it imports little: no aiohttp.
"""

import http.client
import json
import ssl
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from pyaiot.cli.terminal import EXIT_NO, plain, print_error, print_line
from pyaiot.errors import OperatorError, reason_of
from pyaiot.transport.addresses import name_lookup

LIMIT_S: Final = 10.0
"""Time for the answer. A service that takes longer is not healthy."""
_PARTS: Final = "/readyz"
_ALIVE: Final = "/healthz"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health", short_help="Exit with 0 if a running service works, else with 1.")(health)


def health(
    url: Annotated[
        str,
        typer.Argument(
            help="URL of a broker, or of the metrics of a gateway. Empty: the broker in the"
            " settings, on this machine."
        ),
    ] = "",
) -> None:
    """Exit with 0 if a running service works, else with 1 and one sentence.

    Of a broker, all parts must work (/readyz). If it requires a sign-in, and for gateways with
    --metrics-port, an answer is enough (/healthz).
    """
    address = urlsplit(url or _own_url())
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise OperatorError(f"{url} is not a URL: http://HOST:PORT is one.")
    where = f"{address.scheme}://{address.netloc}"
    try:
        with name_lookup():
            status, body = _get(address, _PARTS)
            if status != http.HTTPStatus.OK and not isinstance(body.get("parts"), dict):
                status, body = _get(address, _ALIVE)
    except (OSError, http.client.HTTPException, ValueError) as error:
        print_error(f"{where} does not answer: {plain(reason_of(error))}.")
        raise typer.Exit(EXIT_NO) from None
    if status == http.HTTPStatus.OK:
        print_line(f"{where} works.")
        return
    parts: dict[str, Any] = body.get("parts") or {}
    broken = [f"{name}: {problem}" for name, problem in parts.items() if problem != "ok"]
    print_error(plain(f"{where} does not work: {'; '.join(broken) or f'status {status}'}."))
    raise typer.Exit(EXIT_NO)


def _own_url() -> str:
    from pyaiot.cli.options import load  # noqa: PLC0415 - not needed with a URL

    settings, _ = load(None, {})
    scheme = "https" if settings.tls.covers("web") else "http"
    return f"{scheme}://127.0.0.1:{settings.broker.port}"


def _get(address: Any, path: str) -> tuple[int, dict[str, Any]]:
    """The status and the JSON object of the response; an empty object if it is not one."""
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        # The certificate is not checked: it is for a host name, and the check needs no identity.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            address.hostname, address.port, timeout=LIMIT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=LIMIT_S)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{connection.port}"})
        answer = connection.getresponse()
        text = answer.read(65_536)
    finally:
        connection.close()
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    return answer.status, body if isinstance(body, dict) else {}
