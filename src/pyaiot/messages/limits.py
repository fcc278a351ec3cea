# SPDX-License-Identifier: BSD-3-Clause
"""The limits of messages and the types of their fields."""

from typing import Annotated, Final, Literal

from msgspec import Meta

NAME_LENGTH_MAX: Final = 64
"""Longest uid, resource name and gateway name, in characters. Longer names are refused."""
VALUE_SIZE_MAX: Final = 64 * 1024
"""Bytes of one value, or of a command's payload, as JSON without the quotes. A larger is refused.

Measured as JSON, so that every message fits into a frame: a control character takes six bytes.
"""
TOPIC_LENGTH_MAX: Final = 128
"""Characters of a topic that is shown. A longer topic is truncated."""
REFUSAL_LENGTH_MAX: Final = 300
"""Characters of the text about a refused client. A longer text is truncated."""
IGNORED_TOPICS_MAX: Final = 12
"""Different topics of no node that are shown. One more replaces the one that was used least
recently."""
REFUSALS_MAX: Final = 12
"""Different texts of refusals that are shown. One more replaces the least recent one."""
PROBLEM_LENGTH_MAX: Final = 200
"""Characters of the text about invalid bytes. A longer text is truncated."""
FRAME_SIZE_MAX: Final = 256 * 1024
"""Bytes of one WebSocket message in either direction. Larger ones are refused."""
TYPES_SIZE_MAX: Final = 32 * 1024
"""Bytes of the types of one message `describe`, as JSON. More are refused."""
JSON_DEPTH_MAX: Final = 32
"""Levels of nested arrays and objects in a value. A deeper value is refused."""
COMMAND_TIMEOUT_MAX_S: Final = 60.0
UNIX_TIME_MAX: Final = 253_402_300_799
"""The end of the year 9999. A later time, or one before 1970, is refused: no calendar has it."""
TYPES_MAX: Final = 264
"""Resources of one message `describe`. More are refused."""
READINGS_OF_MAX: Final = 2000
"""Nodes whose readings a subscription names. One with more is refused: it is about all nodes."""
RESERVED_UIDS: Final = frozenset({"alive", "all"})
"""Words that stand for a uid in keep-alives and `dst` (legacy protocol, sections 1 and 2)."""

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Uid = Annotated[Name, Meta(description="The node, by its unique name.")]
ResourceName = Annotated[Name, Meta(description="The resource, without a leading `/`.")]
UnixTime = Annotated[
    float, Meta(ge=0.0, le=UNIX_TIME_MAX, description="Unix time in seconds; 0 if unknown.")
]
ReceiptState = Literal[
    "confirmed", "refused", "timeout", "unreachable", "unknown", "forbidden", "sent"
]
LeftReason = Literal["silent", "left", "gateway lost"]

Topic = Annotated[str, Meta(max_length=TOPIC_LENGTH_MAX)]
RefusalText = Annotated[str, Meta(max_length=REFUSAL_LENGTH_MAX)]
