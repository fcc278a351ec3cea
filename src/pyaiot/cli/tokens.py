# SPDX-License-Identifier: BSD-3-Clause
"""`aiot token`: tokens of programs that use a broker which others can reach."""

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from pyaiot.accounts.roles import Role
from pyaiot.accounts.tokens import Token, new_token, read_duration
from pyaiot.cli.terminal import plain, print_line
from pyaiot.config import data_folder
from pyaiot.errors import OperatorError

if TYPE_CHECKING:
    from pyaiot.accounts.store import AccountsFile

_DAY_S = 86_400.0


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    tokens = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Tokens for programs. Run it on the machine of the broker, as its user.",
    )
    tokens.command("add")(add)
    tokens.command("list")(list_tokens)
    tokens.command("remove")(remove)
    app.add_typer(
        tokens,
        name="token",
        help="Manage the tokens of programs.",
    )


def add(
    name: Annotated[str, typer.Argument(help="Name of the token, for people.")],
    role: Annotated[
        Role,
        typer.Option(
            help="viewer reads, operator also commands and edits nodes, admin may do everything."
        ),
    ] = "viewer",
    expires: Annotated[
        str, typer.Option(help="How long it is valid: 12h, 90d, 4w, or never.")
    ] = "90d",
) -> None:
    """Add a token and print it. It is shown only now."""
    token, secret = new_token(name, role, now=time.time(), life_s=read_duration(expires))
    accounts = _accounts()
    try:
        accounts.add_token(token)
    finally:
        accounts.close()
    print_line(secret)


def list_tokens() -> None:
    """List the tokens with their roles. Their secrets are not stored."""
    accounts = _accounts()
    try:
        tokens = accounts.tokens()
    finally:
        accounts.close()
    if not tokens:
        print_line("There are no tokens. aiot token add NAME adds one.")
    width = max((len(plain(token.name)) for token in tokens), default=0)
    for token in tokens:
        print_line(f"{plain(token.name):<{width}}  {token.role:<8}  {_expiry(token)}")


def remove(name: Annotated[str, typer.Argument(help="Name of the token.")]) -> None:
    """Remove a token. Requests with it are refused from now on."""
    accounts = _accounts()
    try:
        removed = accounts.remove_token(name)
    finally:
        accounts.close()
    if not removed:
        raise OperatorError(f"There is no token named {name!r}: see aiot token list.")


def _accounts() -> "AccountsFile":
    # Imported when it is used: it loads SQLite, which services should not hold.
    from pyaiot.accounts.store import FILE_NAME, AccountsFile  # noqa: PLC0415

    return AccountsFile(data_folder(os.environ) / FILE_NAME)


def _expiry(token: Token) -> str:
    if token.expires_at is None:
        return "does not expire"
    days = (token.expires_at - time.time()) / _DAY_S
    date = time.strftime("%Y-%m-%d", time.localtime(token.expires_at))
    return f"expired on {date}" if days <= 0 else f"expires on {date}, in {days:.0f} days"
