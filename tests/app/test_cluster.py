# SPDX-License-Identifier: BSD-3-Clause
"""Settings with which a broker can, and cannot, be one of a cluster."""

from pathlib import Path

import msgspec
import pytest

from pyaiot.app.accounts import shared_database
from pyaiot.app.optional_parts import check_optional_parts, check_parts_of_demo
from pyaiot.config import BrokerSection, ClusterSection, Config, HistorySection, RegistrySection
from pyaiot.errors import OperatorError

DATABASE = "postgresql://db/pyaiot"


def config(history: str, registry: str = "", **cluster: str) -> Config:
    return Config(
        cluster=ClusterSection(servers="nats://a,b", **cluster),
        history=HistorySection(store=history),
        registry=RegistrySection(store=registry),
    )


@pytest.mark.parametrize(
    ("history", "registry"), [(DATABASE, ""), ("off", "off"), ("off", DATABASE), (DATABASE, "off")]
)
def test_a_cluster_shares_databases_or_nothing(history: str, registry: str) -> None:
    check_optional_parts(config(history, registry), embeds_broker=False)


@pytest.mark.parametrize(
    ("history", "registry", "flag"),
    [("", "", "--history"), ("h.db", "off", "--history"), (DATABASE, "r.db", "--registry")],
)
def test_a_cluster_refuses_files_with_a_sentence(history: str, registry: str, flag: str) -> None:
    with pytest.raises(OperatorError, match=rf"cannot share .* set {flag} to a database.*\.$"):
        check_optional_parts(config(history, registry), embeds_broker=False)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for name in ("credentials_file", "ca_file"):
        missing = config("off", "off", **{name: str(tmp_path / "missing")})
        with pytest.raises(OperatorError, match="cannot be read"):
            check_optional_parts(missing, embeds_broker=False)


def test_the_demo_is_alone() -> None:
    with pytest.raises(OperatorError, match="demo cannot be part of a cluster"):
        check_parts_of_demo(config("off", "off"))


def test_brokers_that_people_sign_in_to_need_a_database_for_accounts() -> None:
    open_ = msgspec.structs.replace(config("off", "off"), broker=BrokerSection(host="0.0.0.0"))
    with pytest.raises(OperatorError, match=r"accounts in files: set --cluster-database .*\.$"):
        check_optional_parts(open_, embeds_broker=False)
    with_database = msgspec.structs.replace(
        open_, cluster=ClusterSection(servers="nats://a", database=DATABASE)
    )
    check_optional_parts(with_database, embeds_broker=False)
    assert shared_database(with_database) == DATABASE
    with pytest.raises(OperatorError, match=r"--cluster-database takes postgresql://"):
        check_optional_parts(config("off", "off", database="accounts.db"), embeds_broker=False)


def test_the_brokers_share_accounts_in_the_database_that_is_named_first() -> None:
    other = "postgresql://db/other"
    assert shared_database(config(DATABASE)) == DATABASE
    assert shared_database(config(DATABASE, other)) == other
    assert shared_database(config("off", "off")) == ""
    alone = msgspec.structs.replace(config(DATABASE), cluster=ClusterSection())
    assert shared_database(alone) == ""
