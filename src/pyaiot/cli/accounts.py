# SPDX-License-Identifier: BSD-3-Clause
"""`aiot user`, `aiot invite` and `aiot token`: access to a broker that others can reach."""

import getpass
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import EVERYTHING, Scope, new_scope
from pyaiot.accounts.tokens import check_name, digest_of, new_token, read_duration
from pyaiot.cli.audit_changes import record_change
from pyaiot.cli.options import load
from pyaiot.cli.terminal import plain, print_line
from pyaiot.errors import OperatorError
from pyaiot.transport.addresses import authority, own_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyaiot.accounts.store import AccountsFile

_DAY_S: Final = 86_400.0
HINT: Final = "Run it on the machine of the broker, as the user that the broker runs as."

RoleOption = Annotated[
    Role,
    typer.Option(
        help="viewer reads, operator also commands and edits nodes, admin may do everything."
    ),
]

TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only nodes with this tag; may be repeated: one is enough."),
]
GatewayOption = Annotated[
    list[str] | None,
    typer.Option("--gateway", help="Only nodes of the gateway of this name; may be repeated."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("invite", short_help="Print a link that signs a person in, once.")(invite)
    users = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=f"People. {HINT}")
    users.command("add")(add_user)
    users.command("list")(list_users)
    users.command("passwd")(change_password)
    users.command("remove")(remove_user)
    app.add_typer(users, name="user", help="Manage people with a name and a password.")
    tokens = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=f"Programs. {HINT}")
    tokens.command("add")(add_token)
    tokens.command("list")(list_tokens)
    tokens.command("remove")(remove_token)
    app.add_typer(tokens, name="token", help="Manage the tokens of programs.")


# -- invitations --------------------------------------------------------------------------------


def invite(
    role: RoleOption = "viewer",
    expires: Annotated[str, typer.Option(help="How long it is valid: 12h, 7d or 4w.")] = "1d",
    url: Annotated[
        str,
        typer.Option(
            help="URL of the dashboard, as the person reaches it. Empty: this machine's address in"
            " the network, and the port of the settings."
        ),
    ] = "",
    tag: TagOption = None,
    gateway: GatewayOption = None,
    list_open: Annotated[
        bool, typer.Option("--list", help="List the invitations that are open.")
    ] = False,
    remove: Annotated[
        str, typer.Option(help="Remove the open invitation with this id, of --list.")
    ] = "",
) -> None:
    """Print a link that signs a person in, once, with its QR code for a phone."""
    if list_open:
        _list_invitations()
        return
    if remove:
        _remove_invitation(remove)
        return
    # Imported when they are used: services should not hold them.
    import secrets  # noqa: PLC0415

    from pyaiot.accounts.qr_code import qr_code  # noqa: PLC0415
    from pyaiot.accounts.store import Invitation  # noqa: PLC0415
    from pyaiot.client.address import BrokerAddress  # noqa: PLC0415

    if url:
        BrokerAddress.from_url(url)  # else the link would lead nowhere
    scope = new_scope(role, tag or (), gateway or ())
    life_s = read_duration(expires)
    if life_s is None:
        raise OperatorError("An invitation expires: set --expires to 12h, 7d or 4w.")
    secret = secrets.token_urlsafe(32)
    now = time.time()
    with open_accounts() as accounts:
        accounts.add_invitation(Invitation(digest_of(secret), role, now + life_s, scope=scope), now)
        record_change("invite", _limits(role, scope))
    link = f"{(url or _dashboard_url()).rstrip('/')}/login?token={secret}"
    print_line(link)
    if sys.stdout.isatty():
        print_line(qr_code(link))


def _list_invitations() -> None:
    with open_accounts() as accounts:
        found = accounts.invitations(time.time())
    if not found:
        print_line("No invitation is open.")
    for it in found:
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(it.expires_at))
        start = "  printed at the start of the broker" if it.is_of_start else ""
        print_line(plain(f"{it.id}  {_limits(it.role, it.scope)}  until {until}{start}"))


def _remove_invitation(id_: str) -> None:
    with open_accounts() as accounts:
        if not accounts.remove_invitation(id_):
            raise OperatorError(
                f"There is no open invitation {id_[:64]!r}: see aiot invite --list."
            )
        record_change("invite-remove", f"invitation:{id_[:64]}")


def _dashboard_url() -> str:
    settings, _ = load(None, {})
    section = settings.broker
    if (section.behind_proxy or section.trusted_proxies) and section.allowed_hosts:
        return f"https://{section.allowed_hosts[0]}"
    scheme = "https" if settings.tls.covers("web") else "http"
    return f"{scheme}://{authority(own_address() or 'localhost', section.port)}"


# -- users --------------------------------------------------------------------------------------


def add_user(
    name: Annotated[str, typer.Argument(help="Name with which the person signs in.")],
    role: RoleOption = "viewer",
    tag: TagOption = None,
    gateway: GatewayOption = None,
) -> None:
    """Add a person and ask for a password. Without a terminal, it is read from standard input."""
    from pyaiot.accounts.passwords import hash_password  # noqa: PLC0415
    from pyaiot.accounts.store import User  # noqa: PLC0415

    check_name(name)
    scope = new_scope(role, tag or (), gateway or ())
    user = User(name, role, hash_password(_read_password()), time.time(), scope)
    with open_accounts() as accounts:
        accounts.add_user(user)
        record_change("user-add", f"user:{name}, {_limits(role, scope)}")


def list_users() -> None:
    """List the people with their roles."""
    with open_accounts() as accounts:
        users = accounts.users()
    if not users:
        print_line("There are no users. aiot user add NAME adds one.")
    width = max((len(plain(user.name)) for user in users), default=0)
    for user in users:
        print_line(f"{plain(user.name):<{width}}  {plain(_limits(user.role, user.scope))}")


def change_password(name: Annotated[str, typer.Argument(help="Name of the person.")]) -> None:
    """Change a password. The person is signed out everywhere."""
    from pyaiot.accounts.passwords import hash_password  # noqa: PLC0415

    unknown = OperatorError(f"There is no user named {name!r}: see aiot user list.")
    with open_accounts() as accounts:
        if accounts.user(name) is None:
            raise unknown
    password = hash_password(_read_password())
    with open_accounts() as accounts:
        if not accounts.set_password(name, password):
            raise unknown
        record_change("user-passwd", f"user:{name}")


def remove_user(name: Annotated[str, typer.Argument(help="Name of the person.")]) -> None:
    """Remove a person, and sign the person out everywhere."""
    with open_accounts() as accounts:
        if not accounts.remove_user(name):
            raise OperatorError(f"There is no user named {name!r}: see aiot user list.")
        record_change("user-remove", f"user:{name}")


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise OperatorError("The two passwords differ.")
    return password


# -- tokens -------------------------------------------------------------------------------------


def add_token(
    name: Annotated[str, typer.Argument(help="Name of the token, as lists show it.")],
    role: RoleOption = "viewer",
    expires: Annotated[
        str, typer.Option(help="How long it is valid: 12h, 90d, 4w, or never.")
    ] = "90d",
    tag: TagOption = None,
    gateway: GatewayOption = None,
) -> None:
    """Add a token and print it. It is shown only now."""
    scope = new_scope(role, tag or (), gateway or ())
    life_s = read_duration(expires)
    token, secret = new_token(name, role, now=time.time(), life_s=life_s, scope=scope)
    with open_accounts() as accounts:
        accounts.add_token(token)
        record_change("token-add", f"token:{name}, {_limits(role, scope)}")
    print_line(secret)


def list_tokens() -> None:
    """List the tokens with their roles. Their secrets are not stored."""
    with open_accounts() as accounts:
        tokens = accounts.tokens()
    if not tokens:
        print_line("There are no tokens. aiot token add NAME adds one.")
    width = max((len(plain(token.name)) for token in tokens), default=0)
    for token in tokens:
        print_line(
            f"{plain(token.name):<{width}}  {token.role:<8}  {expiry_text(token.expires_at)}"
            f"{_scope_text(token.scope)}"
        )


def remove_token(name: Annotated[str, typer.Argument(help="Name of the token.")]) -> None:
    """Remove a token. Requests with it are refused from now on."""
    with open_accounts() as accounts:
        if not accounts.remove_token(name):
            raise OperatorError(f"There is no token named {name!r}: see aiot token list.")
        record_change("token-remove", f"token:{name}")


def _scope_text(scope: Scope) -> str:
    return "" if scope == EVERYTHING else f"  {plain(scope.text)}"


def _limits(role: Role, scope: Scope) -> str:
    """The role, and the scope if there is one."""
    return role if scope == EVERYTHING else f"{role}, {scope.text}"


def expiry_text(expires_at: float | None) -> str:
    """When access ends, for people. `expires_at` is Unix time; None: it does not expire."""
    if expires_at is None:
        return "does not expire"
    days = (expires_at - time.time()) / _DAY_S
    date = time.strftime("%Y-%m-%d", time.localtime(expires_at))
    return f"expired on {date}" if days <= 0 else f"expires on {date}, in {days:.0f} days"


@contextmanager
def open_accounts() -> "Iterator[AccountsFile]":
    """The accounts of the settings, open while the block runs. Raises `OperatorError`."""
    # Imported when it is used: it loads SQLite, which services should not hold.
    from pyaiot.app.accounts import accounts_of_command  # noqa: PLC0415

    with accounts_of_command(load(None, {})[0]) as accounts:
        yield accounts
