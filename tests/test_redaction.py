# SPDX-License-Identifier: BSD-3-Clause
"""Secrets that stand in a URL or a setting are not shown to people or logs."""

import pytest

from pyaiot.redaction import redact

MASKED = {
    "postgresql://me:secret@db:5432/x": "postgresql://me:***@db:5432/x",
    "postgres://me:secret@db/x": "postgres://me:***@db/x",
    "postgresql://:secret@db/x": "postgresql://:***@db/x",
    "POSTGRESQL://me:secret@db/x": "POSTGRESQL://me:***@db/x",
    "postgresql://me:sec:ret@db/x": "postgresql://me:***@db/x",
    # Not escaped, as people write it.
    "postgresql://me:se/cr@et@db/x": "postgresql://me:***@db/x",
    "postgresql://me:se?cret@db/x": "postgresql://me:***@db/x",
    "postgresql://me:1/secret@db/x": "postgresql://me:***@db/x",
    "postgresql://me:se#cret@db/x": "postgresql://me:***@db/x",
    "postgresql://db/x?user=me&password=secret": "postgresql://db/x?user=me&password=***",
    "postgresql://db/x?sslpassword=secret&a=b": "postgresql://db/x?sslpassword=***&a=b",
    "postgresql+asyncpg://me:secret@db/x": "postgresql+asyncpg://me:***@db/x",
    "mysql://me:secret@db/x": "mysql://me:***@db/x",
    "mqtts://me:secret@broker:8883": "mqtts://me:***@broker:8883",
    "http://admin:secret@camera/image.jpg": "http://admin:***@camera/image.jpg",
    "https://camera/i.jpg?usr=admin&pwd=secret": "https://camera/i.jpg?usr=admin&pwd=***",
    "https://tiles/{z}/{x}/{y}.png?key=secret": "https://tiles/{z}/{x}/{y}.png?key=***",
    "https://t/{z}.png?access_token=secret#x": "https://t/{z}.png?access_token=***#x",
    "https://t/{z}.png?apiKey=secret": "https://t/{z}.png?apiKey=***",
    "https://t/x?X-Amz-Signature=secret": "https://t/x?X-Amz-Signature=***",
    "http://localhost:8000/login?token=secret": "http://localhost:8000/login?token=***",
    "host=db password=secret user=me": "host=db password=*** user=me",
    "host=db password='sec ret' user=me": "host=db password=*** user=me",
    'in "postgresql://me:secret@db/x": no such host': (
        'in "postgresql://me:***@db/x": no such host'
    ),
    "http://a:secret@x/ and http://b:secret@y/": "http://a:***@x/ and http://b:***@y/",
}

SHOWN = [
    "postgresql://me@db:5432/x",
    "postgresql://db:5432/x",
    "http://[::1]:8000/",
    "https://tiles.example:8080/{z}/{x}/{y}@2x.png",
    "https://example.org/a:b@c",
    "node/keys = monkey",
    "a key file ~/.pyaiot/keys",
    "user me, mail me@example.org, 12:30@home",
    "south,west,north,east",
    "",
]


@pytest.mark.parametrize(("text", "shown"), MASKED.items())
def test_a_secret_is_masked_and_the_rest_is_shown(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize("text", SHOWN)
def test_text_without_a_secret_is_shown_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_long_text_is_masked_in_linear_time() -> None:
    # Quadratic time would take minutes.
    redact("a://" * 50_000 + "b:" * 50_000)
    redact("://" + ":" * 200_000)
    redact("password=" * 50_000)
