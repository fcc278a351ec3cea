# SPDX-License-Identifier: BSD-3-Clause
"""What is wrong with a value, in words for people instead of those of the decoder."""

from typing import Annotated, Literal

import msgspec
import pytest

from pyaiot.errors import reason_of, requirement


class Rule(msgspec.Struct):
    """A value with choices, in a list of objects."""

    order: Literal["oldest", "newest"] | None = None


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """A body with values of many kinds."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    label: Annotated[str, msgspec.Meta(max_length=3)] | None = ""
    tags: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=3)], ...], msgspec.Meta(max_length=2)
    ] = ()
    types: dict[str, int] = {}
    name: Annotated[str, msgspec.Meta(min_length=1)] = "x"
    agg: Annotated[str, msgspec.Meta(pattern="^(min|max)$")] = "min"
    state: Literal["online", "offline"] = "online"
    rules: tuple[Rule, ...] = ()
    rule_of: dict[str, Rule | None] = {}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"limit":"abc"}', "limit must be a whole number"),
        ('{"limit":0}', "limit must be at least 1"),
        ('{"limit":1001}', "limit must be at most 1000"),
        ('{"types":{"x":1e400}}', "types[...] is out of range"),
        ('{"label":5}', "label must be text or null"),
        ('{"label":"abcd"}', "label must be at most 3 characters long"),
        ('{"tags":["a","abcd"]}', "tags[1] must be at most 3 characters long"),
        ('{"tags":["a","b","c"]}', "tags must be at most 2 entries long"),
        ('{"tags":5}', "tags must be a list"),
        ('{"name":""}', "name must be at least 1 character long"),
        ('{"agg":"sum"}', "agg must be text of the form ^(min|max)$"),
        ('{"types":{"x":"y"}}', "types[...] must be a whole number"),
        ('{"types":5}', "types must be an object"),
        ("[]", "the body must be an object"),
        ('{"state":"gone"}', "state cannot be 'gone'"),
        ('{"other":1}', "Object contains unknown field `other`"),
        ('{"limit":1', "Input data was truncated"),
    ],
)
def test_requirement_names_the_value_and_what_it_must_be(body: str, sentence: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as raised:
        msgspec.json.decode(body, type=Body)
    assert requirement(str(raised.value)) == sentence


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"state":"gone"}', "state cannot be 'gone': use one of offline, online"),
        (
            '{"rules":[{},{"order":"desc"}]}',
            "rules[1].order cannot be 'desc': use one of newest, oldest",
        ),
        (
            '{"rule_of":{"x":{"order":"desc"}}}',
            "rule_of[...].order cannot be 'desc': use one of newest, oldest",
        ),
        ('{"limit":0}', "limit must be at least 1"),
    ],
)
def test_requirement_lists_the_choices_of_a_known_type(body: str, sentence: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as raised:
        msgspec.json.decode(body, type=Body)
    assert requirement(str(raised.value), Body) == sentence


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), "No such file or directory"),
        (
            ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"),
            "Connection refused",
        ),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0),"
                " [Errno 111] Connect call failed ('127.0.0.1', 1)"
            ),
            "Connection refused",
        ),
        (ValueError("one line\nand another"), "one line"),
        (TimeoutError(), "TimeoutError"),
        (
            UnicodeDecodeError("utf-8", b"ab\xff", 2, 3, "invalid start byte"),
            "it is not UTF-8 (byte 3); save it in this encoding",
        ),
    ],
)
def test_the_reason_of_an_error_is_one_line_without_numbers(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
