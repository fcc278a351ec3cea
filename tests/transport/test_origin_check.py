# SPDX-License-Identifier: BSD-3-Clause
"""Which host names and origins are allowed."""

import pytest

from pyaiot.transport.origin_check import (
    ADDRESSES_CACHED_MAX,
    _is_address,
    is_allowed_host,
    is_allowed_origin,
)

NAMES = frozenset({"iot.example"})
ORIGINS = frozenset({"https://page.example"})


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "10.0.0.5"),
        *("iot.example:80", "LOCALHOST", "IoT.example", "[::1]", "[::ffff:127.0.0.1]:80"),
        *("[fe80::1%eth0]", "a.localhost:1"),
    ],
)
def test_own_host_names_are_allowed(host: str) -> None:
    assert is_allowed_host(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "iot.example."),
        *(":", "[::1].evil", "[::1].evil:8000", "[::1]evil", "[::1]:8000.evil", "evil[::1]"),
        *("[::1", "::1]", "::1", "[]", "[localhost]", "[127.0.0.1]", "[::1]]", "[[::1]]"),
        *("evil.example@localhost", "localhost@evil.example", "localhost:80@evil.example"),
        *("localhost/evil", "localhost#.evil", "localhost?.evil", "localhost\\.evil", "localhost "),
        *("localhost:80:80", "localhost:x", "localhost:123456", "localhost,evil.example"),
        *("127.1", "0x7f000001", "2130706433", "\u0661\u0662\u0667.0.0.1", "localhost\x00"),
        # What a lenient URL parser accepts as an address.
        *("[::1].evil.example", "[::1]evil", "[::1].evil:80", "[::1", "::1", "[127.0.0.1]", ":"),
        *("me@127.0.0.1", "127.0.0.1/x", "127.0.0.1:80:80", "127.0.0.1:x", "127.0.0.1 ", "[]"),
        *("localhost/", "localhost?", "a@localhost", "127.0.0.1#", "[fe80::1%25eth0]:80/", "[x]"),
    ],
)
def test_other_host_names_are_refused(host: str) -> None:
    assert not is_allowed_host(host, NAMES)


@pytest.mark.parametrize(
    "origin", [None, "http://localhost:8000", "https://localhost:8000", "https://page.example"]
)
def test_own_origin_and_missing_origin_are_allowed(origin: str | None) -> None:
    assert is_allowed_origin(origin, "localhost:8000", ORIGINS)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "http://evil.example",
        "http://localhost:8080",
        "http://localhost:8000.evil.example",
        "file://localhost:8000",
        "http://page.example",
    ],
)
def test_other_origins_are_refused(origin: str) -> None:
    assert not is_allowed_origin(origin, "localhost:8000", ORIGINS)


def test_over_tls_the_scheme_is_https() -> None:
    for host in ("localhost:8000", "pi.lan"):
        assert is_allowed_origin(f"https://{host}", host, ORIGINS, secure=True)
        assert not is_allowed_origin(f"http://{host}", host, ORIGINS, secure=True)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://pi.lan", "pi.lan:443", True),
        ("http://pi.lan", "pi.lan:80", True),
        ("https://pi.lan", "pi.lan:80", False),
        ("https://pi.lan", "pi.lan:8443", False),
        ("https://pi.lan:8443", "pi.lan", False),
        ("http://pi.lan:80", "pi.lan:8080", False),
    ],
)
def test_default_port_may_be_omitted(origin: str, host: str, allowed: bool) -> None:
    assert is_allowed_origin(origin, host, ORIGINS) == allowed


def test_few_names_are_remembered_of_many() -> None:
    for number in range(2 * ADDRESSES_CACHED_MAX):
        assert is_allowed_host(f"192.0.{number // 256}.{number % 256}", NAMES)
        assert not is_allowed_host(f"rebound-{number}.example", NAMES)
        assert not is_allowed_host("1" * 65 + str(number), NAMES)
    assert _is_address.cache_info().currsize == ADDRESSES_CACHED_MAX
