# SPDX-License-Identifier: BSD-3-Clause
"""Fails each test whose log, standard output or standard error contains a secret.

Secrets that Pyaiot makes at random are found without a call; a test declares others with `secret`.
"""

import functools
import secrets
from collections.abc import Callable, Generator
from typing import Any, Final

import pytest
from cryptography.fernet import Fernet

SECRET_LENGTH_MIN: Final = 22
"""Characters of the shortest random text that counts as a secret: 128 bits in base64."""

_known: set[str] = set()
"""Secrets of the test that runs."""


def secret(text: str) -> str:
    """Declare a secret of this test. Returns it."""
    _known.add(text)
    return text


def found(text: str) -> list[str]:
    """The secrets in a text, cut so that the report has none of them."""
    return [f"{it[:6]}…" for it in _known if it in text]


class NoSecrets:
    """A plugin of pytest."""

    def __init__(self) -> None:
        secrets.token_urlsafe = _remembered(secrets.token_urlsafe)
        Fernet.encrypt = _remembered(Fernet.encrypt)  # type: ignore[method-assign]
        Fernet.generate_key = _remembered(Fernet.generate_key)  # type: ignore[method-assign]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        for title, text in report.sections:
            # The sections of a report repeat those of earlier phases.
            leaked = found(text) if title.endswith(call.when) else []
            if leaked and report.passed:
                report.outcome = "failed"
                report.longrepr = f"{item.nodeid}: {title!r} contains the secret {leaked[0]}"
        if call.when == "teardown":
            _known.clear()
        return report


def _remembered(make: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(make)
    def remember(*arguments: Any) -> Any:
        made = make(*arguments)
        text = made.decode() if isinstance(made, bytes) else str(made)
        if len(text) >= SECRET_LENGTH_MIN:
            _known.add(text)
        return made

    return remember
