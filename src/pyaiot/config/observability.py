# SPDX-License-Identifier: BSD-3-Clause
"""Settings of what operators look at: metrics and the log."""

from typing import Annotated, Literal

from msgspec import Meta

from pyaiot.config.section import Section


class MetricsSection(Section, frozen=True, kw_only=True):
    """Where Prometheus may look, beside `/metrics` of the broker's own door."""

    host: Annotated[
        str, Meta(description="Address of the door for metrics; who reaches it may read them.")
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(
            ge=-1,
            le=65535,
            description="TCP port of a door of its own for metrics, with no login; -1: none, 0: any"
            " free one.",
        ),
    ] = -1
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Host names under which it may be reached; its addresses and localhost"
            " always may."
        ),
    ] = ()


class LogSection(Section, frozen=True, kw_only=True):
    """What is logged, to standard error."""

    debug: Annotated[bool, Meta(description="Log every step.")] = False
    format: Annotated[
        Literal["text", "json"],
        Meta(description="`text` for people, `json`: one object a line, for programs."),
    ] = "text"
