# SPDX-License-Identifier: BSD-3-Clause
"""`aiot gateway`: the tokens of gateways in separate processes."""

import time
from typing import Annotated, Final

import typer

from pyaiot.accounts.records import GatewayToken
from pyaiot.accounts.tokens import check_name, digest_of, new_secret, read_duration
from pyaiot.cli.accounts import HINT, expiry_text, open_accounts
from pyaiot.cli.audit_changes import record_change
from pyaiot.cli.terminal import plain, print_line
from pyaiot.errors import OperatorError

Name = Annotated[str, typer.Argument(help="Name of the gateway. It owns its nodes by this name.")]
Expires = Annotated[str, typer.Option(help="How long it is valid: 12h, 365d, 4w, or never.")]
_OVERLAP: Final = "1d"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    gateways = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help=f"Tokens of gateways in separate processes. {HINT}",
    )
    gateways.command("add")(add)
    gateways.command("list")(list_)
    gateways.command("rotate")(rotate)
    gateways.command("remove")(remove)
    app.add_typer(gateways, name="gateway", help="Manage the tokens of gateways.")


def add(name: Name, expires: Expires = "365d") -> None:
    """Add a gateway and print its token. It is shown only now.

    Set it on the machine of the gateway, in a file for --token-file or as AIOT_GATEWAY_TOKEN.
    """
    _add(name, expires, is_new=True, overlap=None)


def rotate(
    name: Name,
    expires: Expires = "365d",
    overlap: Annotated[
        str, typer.Option(help="How long earlier tokens stay valid: 12h, 7d, 4w, or never.")
    ] = _OVERLAP,
) -> None:
    """Print a new token for a gateway. Earlier tokens stay valid for the overlap.

    With "never" they keep their expiry. aiot gateway remove --old ends them at once.
    """
    _add(name, expires, is_new=False, overlap=read_duration(overlap, option="--overlap"))


def _add(name: str, expires: str, *, is_new: bool, overlap: float | None) -> None:
    check_name(name)
    life_s = read_duration(expires)
    secret, now = new_secret(), time.time()
    token = GatewayToken(name, now, None if life_s is None else now + life_s, digest_of(secret))
    with open_accounts() as accounts:
        accounts.add_gateway_token(
            token, is_new=is_new, others_expire_at=None if overlap is None else now + overlap
        )
        record_change("gateway-add" if is_new else "gateway-rotate", f"gateway:{name}")
    print_line(secret)


def list_() -> None:
    """List the gateways and when their tokens expire, the latest first. Secrets are not stored."""
    with open_accounts() as accounts:
        tokens = accounts.gateway_tokens()
    if not tokens:
        print_line("There are no gateways with tokens. aiot gateway add NAME adds one.")
    width = max((len(plain(token.gateway)) for token in tokens), default=0)
    for token in tokens:
        made = time.strftime("%Y-%m-%d", time.localtime(token.created_at))
        print_line(
            f"{plain(token.gateway):<{width}}  made on {made}  {expiry_text(token.expires_at)}"
        )


def remove(
    name: Name,
    old: Annotated[
        bool, typer.Option("--old", help="Remove all tokens but the latest one.")
    ] = False,
) -> None:
    """Remove a gateway with all its tokens. A running broker closes its connection at once.

    Its nodes may be claimed by other gateways from now on.
    """
    with open_accounts() as accounts:
        if not accounts.remove_gateway_tokens(name, keeps_latest=old):
            raise OperatorError(f"There is no gateway named {name!r}: see aiot gateway list.")
        record_change("gateway-remove", f"gateway:{name}" + (", old tokens" if old else ""))
