# SPDX-License-Identifier: BSD-3-Clause
"""A test whose output contains a secret fails, as `tests/no_secrets.py` promises."""

import secrets

import pytest
from cryptography.fernet import Fernet

from tests import no_secrets

pytest_plugins = ["pytester"]

CONFTEST = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("no_secrets", {plugin!r})
module = sys.modules["no_secrets"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

def pytest_configure(config):
    config.pluginmanager.register(module.NoSecrets())
"""
LEAKS = """
import logging, secrets, sys
from pyaiot.accounts.tokens import new_token
from no_secrets import secret

def test_log():
    logging.getLogger("x").warning("refused %s", new_token("a", "viewer", now=0.0, life_s=None)[1])

def test_stdout():
    print(secrets.token_urlsafe(32))

def test_stderr():
    print(secret("hunter2 of ada"), file=sys.stderr)

def test_hidden():
    new_token("a", "viewer", now=0.0, life_s=None)
    secret("hunter2 of ada")
    print("nothing")

def test_of_another_test():
    print("hunter2 of ada")
"""


def test_secret_in_log_or_output_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.format(plugin=no_secrets.__file__))
    pytester.makepyfile(LEAKS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q", "--no-header")
    result.assert_outcomes(passed=2, failed=3)


def test_secrets_that_our_code_makes_are_known() -> None:
    token, key = secrets.token_urlsafe(32), Fernet.generate_key().decode()
    assert no_secrets.found(f"a {token} b") == [f"{token[:6]}…"]
    assert no_secrets.found(f"a {key} b") == [f"{key[:6]}…"]
    assert no_secrets.found(secrets.token_hex(4)) == []
