# SPDX-License-Identifier: BSD-3-Clause
"""Host and port in a URL."""

from urllib.parse import urlsplit

import pytest

from pyaiot.errors import OperatorError
from pyaiot.transport.addresses import authority


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", "localhost:8000"),
        ("127.0.0.1", "127.0.0.1:8000"),
        ("::1", "[::1]:8000"),
        ("fe80::1%eth0", "[fe80::1%eth0]:8000"),
        ("broker_1.example", "broker_1.example:8000"),
        ("münchen.example", "münchen.example:8000"),
    ],
)
def test_host_and_port_are_as_in_a_url(host: str, expected: str) -> None:
    assert authority(host, 8000) == expected
    assert urlsplit(f"http://{expected}").port == 8000


@pytest.mark.parametrize(
    "host",
    ["", "[::1", "[::1]", "::1]", "1::2::3", "a b", "a/b", "a?b", "a#b", "u@a", "a\\b", 'a"><b>'],
)
def test_host_that_would_be_another_url_is_refused(host: str) -> None:
    with pytest.raises(OperatorError, match="Invalid host"):
        authority(host, 8000)


@pytest.mark.parametrize("host", ["a\nb", "a\x1b[0m", "\u202ea", "a; script-src *"])
def test_host_with_control_characters_or_a_policy_is_refused(host: str) -> None:
    with pytest.raises(OperatorError, match="Invalid host"):
        authority(host, 8000)
