# SPDX-License-Identifier: BSD-3-Clause
"""Brokers of a cluster have the same accounts: what one changes, all have."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest

from pyaiot.accounts import shared
from pyaiot.accounts.mirror import AccountsMirror
from pyaiot.accounts.records import GatewayToken, Invitation, User, UserSession
from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.shared import SharedAccounts, changing_once
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import Token
from pyaiot.errors import OperatorError
from pyaiot.web.access_watch import AccessWatch
from tests.history.postgres_server import Server, drop_schema, running_server
from tests.time_limits import time_limit

NAME = "postgresql://test"
LIMIT_S = 20.0

USER = User("ada", "operator", "hash", 1.0, Scope(tags=("lab",)))
TOKEN = Token("script", "viewer", 2.0, None, b"t" * 32)
SESSION = UserSession(b"s" * 32, "ada", "operator", 1e12, Scope(tags=("lab",)))
INVITATION = Invitation(b"i" * 32, "admin", 1e12)
GATEWAY = GatewayToken("roof", 3.0, 1e12, b"g" * 32)


def add_everything(accounts: AccountsFile) -> None:
    accounts.add_user(USER)
    accounts.add_token(TOKEN)
    accounts.add_session(SESSION, 5.0)
    accounts.add_invitation(INVITATION, 5.0)
    accounts.add_gateway_token(GATEWAY, is_new=True)


def everything(accounts: AccountsFile) -> list[object]:
    return [
        accounts.users(),
        accounts.tokens(),
        accounts.sessions(5.0),
        accounts.invitations(5.0),
        accounts.gateway_tokens(),
    ]


# -- rows in memory -----------------------------------------------------------------------------


def loaded() -> AccountsMirror:
    mirror = AccountsMirror()
    mirror.load([])
    return mirror


def test_rows_of_one_broker_give_another_the_same_accounts() -> None:
    one, other = loaded(), loaded()
    with one.transaction():
        add_everything(one)
        rows = one.changed_rows()
    other.apply(rows)
    assert everything(other) == everything(one)
    with one.transaction():
        one.remove_user("ada")
        one.remove_gateway_tokens("roof", keeps_latest=False)
        rows = one.changed_rows()
    assert sorted(row[0] for row in rows if row[2] is None) == ["gateway_token", "session", "user"]
    other.apply(rows)
    assert everything(other) == everything(one)


def test_nothing_is_answered_before_the_accounts_are_loaded() -> None:
    with pytest.raises(OperatorError, match="not loaded yet"):
        AccountsMirror().tokens()


def test_a_change_outside_a_transaction_is_refused() -> None:
    mirror = loaded()
    with pytest.raises(OperatorError, match="readonly"):
        mirror.add_user(USER)
    assert mirror.users() == []


def test_a_transaction_that_fails_changes_nothing() -> None:
    mirror = loaded()
    with contextlib.suppress(OperatorError), mirror.transaction():
        add_everything(mirror)
        raise OperatorError("the database does not answer")
    assert everything(mirror) == [[], [], [], [], []]


def test_a_row_of_a_newer_version_is_read_without_what_is_not_known() -> None:
    mirror = loaded()
    body = '{"name":"ada","role":"viewer","password":"h","created_at":1.0,"color":"red"}'
    mirror.apply([("user", "ada", body), ("key", "k", "{}")])
    assert mirror.users() == [User("ada", "viewer", "h", 1.0)]


def test_a_row_that_cannot_be_read_opens_nothing() -> None:
    mirror = AccountsMirror()
    with pytest.raises(OperatorError, match="cannot be read"):
        mirror.load([("user", "ada", "{")])
    with pytest.raises(OperatorError, match="not loaded yet"):
        mirror.users()


# -- a real server ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as it:
        yield it


@pytest.fixture
def url(server: Server) -> str:
    """A database without tables."""
    drop_schema(server.url, "pyaiot_accounts")
    return server.url


@asynccontextmanager
async def brokers(url: str) -> AsyncIterator[tuple[SharedAccounts, SharedAccounts]]:
    one, other = SharedAccounts(url, NAME), SharedAccounts(url, NAME)
    async with one.running(), other.running():
        yield one, other


async def until(condition: Callable[[], bool]) -> None:
    async with time_limit(LIMIT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.sockets
async def test_what_one_broker_changes_the_other_has(url: str) -> None:
    async with brokers(url) as (one, other):
        await one.change(add_everything)
        await until(lambda: everything(other) == everything(one))
        await other.change(lambda it: it.remove_token("script"))
        await until(lambda: one.tokens() == [])
    async with brokers(url) as (third, _):
        assert third.users() == [USER]
        assert third.tokens() == []


@pytest.mark.sockets
async def test_access_that_is_removed_at_one_broker_ends_at_the_other(url: str) -> None:
    async with brokers(url) as (one, other):
        await one.change(add_everything)
        await other.look()
        ended: list[str] = []
        watch = AccessWatch(other, unix_time=lambda: 5.0)
        watch.opened(TOKEN.digest, ended.append)
        watch.check()
        assert not ended
        await one.change(lambda it: it.remove_token("script"))
        await until(lambda: not other.tokens())
        watch.check()
        assert len(ended) == 1


@pytest.mark.sockets
async def test_an_invitation_is_used_once_at_whichever_broker(url: str) -> None:
    async with brokers(url) as both:
        for number in range(5):
            digest = bytes([number]) * 32
            invitation = Invitation(digest, "viewer", 1e12)
            await both[0].change(
                partial(AccountsFile.add_invitation, invitation=invitation, now=5.0)
            )
            use = partial(AccountsFile.use_invitation, digest=digest, now=5.0)
            used = await asyncio.gather(*(it.change(use) for it in both))
            assert sum(it is not None for it in used) == 1


@pytest.mark.sockets
async def test_brokers_that_start_together_each_have_a_link_and_later_ones_replace_it(
    url: str,
) -> None:
    def link(number: int, made_at: float) -> Callable[[AccountsFile], None]:
        made = Invitation(bytes([number]) * 32, "admin", made_at + 86_400.0, is_of_start=True)
        return lambda it: it.add_invitation(made, made_at)

    async with brokers(url) as (one, other):
        await one.change(link(1, 1000.0))
        await other.change(link(2, 1030.0))
        assert len(other.invitations(1030.0)) == 2
        await one.change(link(3, 5000.0))
        assert [it.digest[0] for it in one.invitations(5000.0)] == [3]


@pytest.mark.sockets
async def test_a_name_is_given_once_at_whichever_broker(url: str) -> None:
    async with brokers(url) as both:
        results = await asyncio.gather(
            *(it.change(lambda a: a.add_user(USER)) for it in both), return_exceptions=True
        )
        assert [type(it) for it in results if it is not None] == [OperatorError]
        assert len(both[0].users()) == 1


@pytest.mark.sockets
async def test_a_session_of_another_broker_is_found_at_once(url: str) -> None:
    async with brokers(url) as (one, other):
        await one.change(lambda it: it.add_session(SESSION, 5.0))
        await other.look()
        assert other.session(SESSION.digest, 5.0) is not None
        assert not await other.look()


@pytest.mark.sockets
async def test_without_its_server_a_broker_knows_its_accounts_and_changes_none(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "RETRY_S", 0.05)
    async with brokers(url) as (one, _):
        await one.change(add_everything)
        server.stop()
        try:
            with pytest.raises(OperatorError, match=f"in {NAME} cannot be used"):
                await one.change(lambda it: it.remove_user("ada"))
            assert one.users() == [USER]
            assert "cannot be used" in await one.check()
        finally:
            await asyncio.to_thread(server.start)
        await until(lambda: not one.failure)
        await one.change(lambda it: it.remove_user("ada"))
        assert one.users() == []


@pytest.mark.sockets
async def test_a_broker_starts_without_the_server_and_answers_nothing() -> None:
    accounts = SharedAccounts("postgresql://pyaiot@/none?host=/nowhere", NAME)
    async with accounts.running():
        with pytest.raises(OperatorError, match="not loaded yet"):
            accounts.tokens()
        with pytest.raises(OperatorError, match="cannot be used"):
            await accounts.change(add_everything)


@pytest.mark.programs
def test_a_command_changes_the_accounts_of_all_brokers(url: str) -> None:
    with changing_once(url, NAME) as accounts:
        add_everything(accounts)

    def change_both() -> None:
        with changing_once(url, NAME) as accounts:
            accounts.remove_token("script")
            accounts.add_user(USER)

    with pytest.raises(OperatorError, match="already"):
        change_both()
    with changing_once(url, NAME) as accounts:
        assert accounts.tokens() == [TOKEN]
        assert accounts.users() == [USER]


@pytest.mark.programs
def test_a_schema_of_a_newer_version_is_refused(url: str) -> None:
    with changing_once(url, NAME):
        pass

    async def newer() -> None:
        db = await asyncpg.connect(url)
        await db.execute("INSERT INTO pyaiot_accounts.version VALUES (99)")
        await db.close()

    asyncio.run(newer())
    with pytest.raises(OperatorError, match="newer Pyaiot"), changing_once(url, NAME):
        pass
