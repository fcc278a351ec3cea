# SPDX-License-Identifier: BSD-3-Clause
"""Opens the accounts: in a file, or, for the brokers of a cluster, in their database."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyaiot.accounts.store import FILE_NAME, AccountsFile
from pyaiot.config import BrokerSection, Config, data_folder
from pyaiot.redaction import redact
from pyaiot.transport.addresses import is_loopback

if TYPE_CHECKING:
    from pyaiot.accounts.shared import SharedAccounts

_DATABASE = re.compile(r"postgres(ql)?://")


def shared_database(config: Config) -> str:
    """The URL of the database with the accounts and the audit log of a cluster; empty: they are in
    files. The workers of one machine share the files, so that commands find the accounts there."""
    if config.cluster.shares_files:
        return ""
    return any_database(config)


def any_database(config: Config) -> str:
    """The URL of a database that all brokers of a cluster use; empty if there is none."""
    if not config.cluster.is_on:
        return ""
    for location in (config.cluster.database, config.registry.store, config.history.store):
        if _DATABASE.match(location):
            return location
    return ""


def is_proxied(section: BrokerSection) -> bool:
    """Whether a reverse proxy is in front of the web listener."""
    return section.behind_proxy or bool(section.trusted_proxies)


def needs_sign_in(section: BrokerSection) -> bool:
    """Whether clients must sign in."""
    # A proxy on this machine forwards requests of the whole network over loopback.
    return is_proxied(section) or not is_loopback(section.host)


def open_accounts(config: Config, *, creates: bool) -> AccountsFile:
    """The accounts of a broker. `creates`: create the file if it does not exist. Raises
    `OperatorError`."""
    url = shared_database(config)
    if url:
        from pyaiot.accounts.shared import SharedAccounts  # noqa: PLC0415 - only in a cluster

        return SharedAccounts(url, redact(url))
    return AccountsFile(data_folder(os.environ) / FILE_NAME, creates=creates)


def shared_accounts(accounts: AccountsFile | None) -> "SharedAccounts | None":
    """The accounts of a broker, if they are in a database."""
    if accounts is None or not accounts.is_shared:
        return None
    from pyaiot.accounts.shared import SharedAccounts  # noqa: PLC0415 - as above

    assert isinstance(accounts, SharedAccounts)  # noqa: S101 - no other is
    return accounts


@contextlib.contextmanager
def accounts_of_command(config: Config) -> Iterator[AccountsFile]:
    """The accounts, open while the block of a command runs. Raises `OperatorError`."""
    url = shared_database(config)
    if url:
        from pyaiot.accounts.shared import changing_once  # noqa: PLC0415 - as above

        with changing_once(url, redact(url)) as shared:
            yield shared
        return
    accounts = AccountsFile(data_folder(os.environ) / FILE_NAME)
    try:
        yield accounts
    finally:
        accounts.close()
