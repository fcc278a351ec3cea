# SPDX-License-Identifier: BSD-3-Clause
"""`aiot user`, `aiot invite` and `aiot token`, as an operator types them."""

import asyncio
import stat
import subprocess
import time
from pathlib import Path

import pytest
from yarl import URL

from pyaiot.accounts.passwords import is_password
from pyaiot.accounts.qr_code import qr_code
from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import digest_of, new_token
from pyaiot.web.sign_in import SignIn
from tests.programs import NO_AUTHORITIES, finish_aiot
from tests.web.serving import serving


def aiot(home: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**NO_AUTHORITIES, "HOME": str(home), "XDG_DATA_HOME": str(home / "data")}
    return finish_aiot(arguments, home, environment, typed=typed, limit_s=30.0)


def accounts(home: Path) -> AccountsFile:
    return AccountsFile(home / "data" / "pyaiot" / "accounts.db")


def test_user_is_added_listed_changed_and_removed(tmp_path: Path) -> None:
    added = aiot(tmp_path, "user", "add", "ada", "--role", "operator", typed="correct horse\n")
    assert (added.returncode, added.stdout, added.stderr) == (0, "", "")
    user = accounts(tmp_path).user("ada")
    assert user is not None
    assert user.role == "operator"
    assert user.password.startswith("$argon2id$")
    assert is_password("correct horse", user.password)
    assert aiot(tmp_path, "user", "list").stdout == "ada  operator\n"
    assert aiot(tmp_path, "user", "passwd", "ada", typed="a new password\n").returncode == 0
    user = accounts(tmp_path).user("ada")
    assert user is not None
    assert is_password("a new password", user.password)
    assert aiot(tmp_path, "user", "remove", "ada").returncode == 0
    assert accounts(tmp_path).users() == []


@pytest.mark.parametrize(
    ("arguments", "typed", "sentence"),
    [
        (("user", "add", "ada"), "short\n", "A password has 8 to 1024 characters."),
        (("user", "add", "a\tb"), "correct horse\n", "A name has 1 to 64 printable characters"),
        (("user", "passwd", "eve"), "correct horse\n", "There is no user named 'eve'"),
        (("user", "remove", "eve"), "", "There is no user named 'eve'"),
        (("token", "remove", "ci"), "", "There is no token named 'ci'"),
        (("token", "add", "ci", "--expires", "soon"), "", "--expires takes 12h, 90d, 4w or never"),
        (("invite", "--expires", "never"), "", "An invitation expires"),
        (("invite", "--url", "pyaiot.example.org"), "", "Invalid URL 'pyaiot.example.org'"),
        (("login", "pyaiot.example.org"), "x\n", "Invalid URL 'pyaiot.example.org'"),
        (("login", "http://["), "x\n", "Invalid URL"),
        (("logout", "http://localhost:1"), "", "No access to http://localhost:1 is stored."),
    ],
)
def test_wrong_input_is_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], typed: str, sentence: str
) -> None:
    ended = aiot(tmp_path, *arguments, typed=typed)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_token_is_printed_once_and_only_its_hash_is_stored(tmp_path: Path) -> None:
    added = aiot(tmp_path, "token", "add", "ci", "--role", "operator", "--expires", "4w")
    secret = added.stdout.strip()
    token = accounts(tmp_path).token_with(digest_of(secret))
    assert token is not None
    assert (token.name, token.role) == ("ci", "operator")
    listed = aiot(tmp_path, "token", "list").stdout
    assert listed.startswith("ci  operator  expires on ")
    assert secret not in listed
    assert aiot(tmp_path, "token", "add", "ci").returncode == 2
    assert aiot(tmp_path, "token", "remove", "ci").returncode == 0
    assert aiot(tmp_path, "token", "list").stdout.startswith("There are no tokens.")


def test_invitation_is_a_link_that_works_once(tmp_path: Path) -> None:
    printed = aiot(
        tmp_path, "invite", "--role", "operator", "--url", "https://pyaiot.example.org/"
    ).stdout.strip()
    assert printed.startswith("https://pyaiot.example.org/login?token=")
    digest = digest_of(printed.partition("=")[2])
    invitation = accounts(tmp_path).use_invitation(digest, 0.0)
    assert invitation is not None
    assert invitation.role == "operator"
    assert accounts(tmp_path).use_invitation(digest, 0.0) is None


def test_open_invitations_are_listed_and_removed(tmp_path: Path) -> None:
    assert aiot(tmp_path, "invite", "--list").stdout == "No invitation is open.\n"
    link = aiot(tmp_path, "invite", "--role", "operator", "--tag", "lab").stdout
    digest = digest_of(link.strip().partition("token=")[2])
    (line,) = aiot(tmp_path, "invite", "--list").stdout.splitlines()
    assert line.startswith(digest.hex()[:16])
    assert "operator, tag lab" in line
    assert aiot(tmp_path, "invite", "--remove", digest.hex()[:16]).returncode == 0
    assert accounts(tmp_path).use_invitation(digest, 0.0) is None
    refused = aiot(tmp_path, "invite", "--remove", digest.hex()[:16])
    assert refused.returncode == 2
    assert "There is no open invitation" in refused.stderr


def test_invitation_has_the_address_of_this_machine_and_the_port_of_the_settings(
    tmp_path: Path,
) -> None:
    printed = aiot(tmp_path, "invite").stdout
    assert printed.startswith("http://")
    assert ":8000/login?token=" in printed


def test_qr_code_fits_into_a_terminal() -> None:
    lines = qr_code("http://192.0.2.10:8000/login?token=" + "x" * 43).splitlines()
    assert len(lines) <= 24
    assert all("\x1b[" in line or set(line) <= set(" ▀▄█") for line in lines)


def mode_of_logins(home: Path) -> int:
    (file,) = home.rglob("logins.json")
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.sockets
async def test_login_stores_a_token_for_the_other_commands(tmp_path: Path) -> None:
    stored = AccountsFile(None)
    token, secret = new_token("laptop", "viewer", now=0.0, life_s=None)
    stored.add_token(token)
    login = SignIn(stored, behind_tls=False, viewers=False, clock=time.monotonic)
    async with serving(login=login) as served:
        port = str(URL(served.url).port)

        async def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(aiot, tmp_path, *arguments, typed=typed)

        before = await run("nodes", "--broker-port", port)
        assert (before.returncode, before.stdout) == (2, "")
        assert "AIOT_TOKEN" in before.stderr
        wrong = await run("login", served.url, typed="aiot_" + "A" * 43 + "\n")
        assert wrong.returncode == 2
        assert "The token is not valid" in wrong.stderr
        right = await run("login", f"http://localhost:{port}", typed=f"{secret}\n")
        assert right.stdout == f"Signed in at http://localhost:{port}.\n"
        assert mode_of_logins(tmp_path) == 0o600
        assert (await run("nodes", "--broker-port", port)).returncode == 0
        assert (await run("logout", f"http://localhost:{port}")).returncode == 0
        assert (await run("nodes", "--broker-port", port)).returncode == 2
        assert (await run("logout", f"http://localhost:{port}")).returncode == 2


def test_scope_is_stored_and_listed(tmp_path: Path) -> None:
    limits = ("--role", "operator", "--tag", "lab", "--tag", "roof", "--gateway", "coap")
    assert aiot(tmp_path, "user", "add", "ada", *limits, typed="correct horse\n").returncode == 0
    assert aiot(tmp_path, "token", "add", "ci", *limits).returncode == 0
    link = aiot(tmp_path, "invite", *limits).stdout.strip()
    scope = Scope(("lab", "roof"), ("coap",))
    file = accounts(tmp_path)
    assert [user.scope for user in file.users()] == [scope]
    assert [token.scope for token in file.tokens()] == [scope]
    invitation = file.use_invitation(digest_of(link.partition("token=")[2]), 0.0)
    assert invitation is not None
    assert invitation.scope == scope
    for command in ("user", "token"):
        assert "tag lab, tag roof, gateway coap" in aiot(tmp_path, command, "list").stdout


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (("--role", "admin", "--tag", "lab"), "An administrator manages all access"),
        (("--tag", ""), "A tag and the name of a gateway have 1 to 64"),
        (("--gateway", "a\tb"), "A tag and the name of a gateway have 1 to 64"),
        (tuple(f"--tag={number}" for number in range(33)), "at most 32 tags"),
    ],
)
def test_invalid_scope_is_refused(tmp_path: Path, limits: tuple[str, ...], sentence: str) -> None:
    for command in (("invite",), ("token", "add", "ci")):
        result = aiot(tmp_path, *command, *limits)
        assert (result.returncode, result.stdout) == (2, "")
        assert sentence in result.stderr
