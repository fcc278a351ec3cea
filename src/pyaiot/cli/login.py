# SPDX-License-Identifier: BSD-3-Clause
"""`aiot login` and `aiot logout`: access of the commands to a broker that requires a sign-in."""

import asyncio
import getpass
import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import aiohttp
import typer

from pyaiot.cli.terminal import print_line
from pyaiot.client.address import BrokerAddress
from pyaiot.client.session import forget_access, no_broker, open_session, save_token
from pyaiot.config import state_folder
from pyaiot.errors import OperatorError

LIMIT_S: Final = 10.0
"""Time for the answer of the broker. Then the command fails."""

Url = Annotated[str, typer.Argument(help="URL of the broker, or a sign-in link.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("login", short_help="Store access to a broker for the other commands.")(login)
    app.command("logout", short_help="Remove the stored access to a broker.")(logout)


def login(
    url: Url,
    ca_file: Annotated[
        str, typer.Option(help="Certificates that are trusted (PEM); empty: AIOT_CA_FILE.")
    ] = "",
) -> None:
    """Store access to a broker, for the commands that connect to it, readable by you only.

    A sign-in link is used at once. With the URL of a broker, it asks for a token of aiot token add;
    without a terminal, it reads the token from standard input.
    """
    address = BrokerAddress.from_url(url)
    asyncio.run(_login(address, url, ca_file or os.environ.get("AIOT_CA_FILE", "")))
    print_line(f"Signed in at {address.http_url}.")


async def _login(address: BrokerAddress, url: str, ca_file: str) -> None:
    if "token=" in urlsplit(url).query:
        cookie_file = logins_file()
        async with open_session(address, login_link=url, cookie_file=cookie_file, ca_file=ca_file):
            return
    if sys.stdin.isatty():
        token = getpass.getpass("Token: ").strip()
    else:
        token = sys.stdin.readline().strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise OperatorError("That is not a token: aiot token add prints one.")
    async with open_session(address, token=token, ca_file=ca_file) as session:
        try:
            timeout = aiohttp.ClientTimeout(total=LIMIT_S)
            async with session.get(f"{address.http_url}/api/info", timeout=timeout) as response:
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise no_broker(address, error) from error
    if status == HTTPStatus.UNAUTHORIZED:
        raise OperatorError(f"The token is not valid at {address.http_url}, or it has expired.")
    if status != HTTPStatus.OK:
        raise OperatorError(f"{address.http_url} is not a broker: it answers {status}.")
    save_token(logins_file(), address, token)


def logout(url: Url) -> None:
    """Remove the stored access to a broker. A token stays valid until it expires or is removed."""
    address = BrokerAddress.from_url(url)
    if not forget_access(logins_file(), address):
        raise OperatorError(f"No access to {address.http_url} is stored.")


def logins_file() -> Path:
    return state_folder(os.environ) / "logins.json"
