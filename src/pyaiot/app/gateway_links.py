# SPDX-License-Identifier: BSD-3-Clause
"""Links between gateways and the broker, and the credentials of both sides."""

import asyncio
import logging
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import is_secret
from pyaiot.app.accounts import shared_accounts
from pyaiot.broker.broker import Broker
from pyaiot.broker.identity import LEGACY, LEGACY_GATEWAY, GatewayIdentity
from pyaiot.broker.keys import Keys, TokenCheck, load_keys, mint_token
from pyaiot.broker.used_tokens import UsedTokensFile
from pyaiot.config import KEY_FILE, BrokerSection, GatewaySection, data_folder
from pyaiot.errors import LinkLost, OperatorError, reason_of
from pyaiot.gateways.gateway import ConnectToBroker, GatewayLink
from pyaiot.links import HEARTBEAT_S, MemoryLink
from pyaiot.links.connecting import connect_gateway, connect_gateway_with_token
from pyaiot.transport.addresses import authority, parse_hosts
from pyaiot.transport.resolver import reason_of_tls_failure

TOKEN_VARIABLE: Final = "AIOT_GATEWAY_TOKEN"  # noqa: S105 - a name
"""The environment variable with the token of a gateway."""
KEY_FILE_OFF: Final = "off"
"""Replaces the path of the key file: gateways with the key file are refused."""
FAILOVER_HEARTBEAT_S: Final = 2.0
"""Interval of pings to one of several brokers. A ping that is not answered within half of it ends
the link, and the next broker is tried."""
FAILOVER_CONNECT_LIMIT_S: Final = 2.0
"""How long one of several brokers may take to accept a link. After that the next one is tried."""
_SIZE_MAX: Final = 1024

log = logging.getLogger(__name__)


# -- the side of the broker ---------------------------------------------------------------------


class GatewayAccess(msgspec.Struct, frozen=True):
    """How gateways in other processes authenticate."""

    key_file: TokenCheck | None
    """None: gateways with the key file are refused."""
    identity: GatewayIdentity = LEGACY
    """The identity of gateways with the key file."""
    accounts: AccountsFile | None = None
    """The accounts with the tokens of gateways; None: gateways with tokens are refused."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow changes of accounts that the brokers of a cluster share."""
        shared = shared_accounts(self.accounts)
        if shared is None:
            yield
            return
        async with shared.running():
            yield


def key_file_check(section: BrokerSection, *, needs_file: bool) -> TokenCheck | None:
    """The check of gateways with the key file; None: they are refused. `needs_file`: the default
    key file must exist; otherwise only a configured one must. Raises `OperatorError`."""
    if section.key_file == KEY_FILE_OFF:
        return None
    path = Path(section.key_file).expanduser()
    if not needs_file and section.key_file == KEY_FILE and not path.exists():
        log.info("no key file %s: gateways of other processes need a token", path)
        return None
    # Used tokens are stored across restarts.
    used = UsedTokensFile.open(data_folder(os.environ) / "used-gateway-tokens", time.time())
    return TokenCheck(load_keys(path), time.time, used)


def reload_keys(section: BrokerSection, check: TokenCheck) -> None:
    """Read the key file again. If it is invalid, the keys stay unchanged."""
    path = Path(section.key_file).expanduser()
    try:
        check.replace_keys(load_keys(path))
    except OperatorError as error:
        log.error("the keys are unchanged: %s", error)  # noqa: TRY400 - no traceback
    else:
        log.info("the key file %s was read again", path)


def key_file_identity(section: BrokerSection, known: list[str]) -> GatewayIdentity:
    """The identity of gateways with the key file. `known`: the protocols. Raises
    `OperatorError`."""
    allowed = frozenset(map(str.lower, section.legacy_protocols))
    for name in allowed.difference(map(str.lower, known)):
        raise OperatorError(
            f"broker.legacy_protocols: there is no protocol {name!r}; there are {', '.join(known)}."
        )
    return GatewayIdentity(LEGACY_GATEWAY, protocols=allowed)


# -- the side of a gateway ----------------------------------------------------------------------


def connect_in_memory(broker: Broker, tasks: asyncio.TaskGroup) -> ConnectToBroker:
    """Links of gateways in the process of the broker."""

    async def connect() -> GatewayLink:
        gateway_end, broker_end = MemoryLink.pair()
        served = broker.serve_gateway(broker_end, acknowledges=True)
        try:
            tasks.create_task(served, name="link to a gateway in this process")
        except RuntimeError as error:
            # Another part failed to start, so the task group accepts no more tasks.
            served.close()
            raise LinkLost("the service is stopping") from error
        return gateway_end

    return connect


class Credential(msgspec.Struct, frozen=True):
    """The credential of a gateway: its own token, or the key file. It is read at each attempt to
    connect, so that a corrected file takes effect at once."""

    token: Callable[[], str] | None = None
    """Raises `OperatorError`."""
    keys: Callable[[], Keys] | None = None
    """Raises `OperatorError`."""

    @classmethod
    def of(cls, section: GatewaySection, environ: Mapping[str, str]) -> "Credential":
        """The credential of the settings: the variable, the token file, or the key file, in this
        order."""
        token = environ.get(TOKEN_VARIABLE, "")
        if token:
            return cls(token=lambda: _checked(token, f"The variable {TOKEN_VARIABLE}"))
        if section.token_file:
            token_file = Path(section.token_file).expanduser()
            return cls(token=lambda: read_token(token_file))
        key_file = Path(section.key_file).expanduser()
        return cls(keys=lambda: load_keys(key_file))

    @classmethod
    def of_keys(cls, keys: Keys) -> "Credential":
        return cls(keys=lambda: keys)

    def check(self) -> None:
        """Raises `OperatorError` if it cannot be read now."""
        read = self.token or self.keys
        if read is not None:
            read()


def connect_by_websocket(
    session: aiohttp.ClientSession, section: GatewaySection, credential: Credential
) -> ConnectToBroker:
    """Links of a gateway in a separate process. Raises `OperatorError` for an invalid address.

    With several brokers, each attempt begins with the broker after the last linked one.
    """
    scheme = "wss" if section.broker_ssl else "ws"
    urls = [f"{scheme}://{authority(host, port)}/gw" for host, port in brokers_of(section)]

    async def connect_to(url: str, heartbeat_s: float) -> GatewayLink:
        try:
            secret = credential.token() if credential.token else ""
            key_token = mint_token(credential.keys()) if credential.keys else ""
        except OperatorError as error:
            raise LinkLost(str(error)) from error
        try:
            if secret:
                return await connect_gateway_with_token(
                    session, url, secret, heartbeat_s=heartbeat_s
                )
            return await connect_gateway(session, url, key_token, heartbeat_s=heartbeat_s)
        except LinkLost as error:
            reason = reason_of_tls_failure(error.__cause__)
            if reason:
                raise LinkLost(reason) from error
            raise

    async def connect() -> GatewayLink:
        if len(urls) == 1:
            return await connect_to(urls[0], HEARTBEAT_S)
        problems = []
        for _ in range(len(urls)):
            url = urls.pop(0)
            urls.append(url)
            try:
                async with asyncio.timeout(FAILOVER_CONNECT_LIMIT_S):
                    return await connect_to(url, FAILOVER_HEARTBEAT_S)
            except TimeoutError:
                problems.append(f"{url}: no answer")
            except LinkLost as error:
                problems.append(f"{url}: {error}")
        raise LinkLost("; ".join(problems))

    return connect


def brokers_of(section: GatewaySection) -> list[tuple[str, int]]:
    """The brokers of `HOST[:PORT][,HOST[:PORT]…]`. Raises `OperatorError`."""
    return parse_hosts(section.broker_host, section.broker_port)


def read_token(path: Path) -> str:
    """The token in a file that only its owner may read. Raises `OperatorError`."""
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            token = file.read(_SIZE_MAX).decode("ascii", "replace").strip()
    except FileNotFoundError as error:
        raise OperatorError(
            f"The token file {path} does not exist: write the token of aiot gateway add to it."
        ) from error
    except OSError as error:
        raise OperatorError(f"The token file {path} cannot be read: {reason_of(error)}.") from error
    if mode & stat.S_IRWXO:
        raise OperatorError(
            f"The token file {path} is accessible to every user: restrict it with chmod 600 {path}."
        )
    return _checked(token, f"The file {path}")


def _checked(token: str, what: str) -> str:
    if not is_secret(token):
        raise OperatorError(f"{what} has no token: aiot gateway add prints one.")
    return token
