# SPDX-License-Identifier: BSD-3-Clause
"""Settings of metrics and logs."""

from typing import Annotated, Literal

from msgspec import Meta

from pyaiot.config.section import Section


class MetricsSection(Section, frozen=True, kw_only=True):
    """A separate listener for metrics, next to `/metrics` at the port of the broker."""

    host: Annotated[
        str,
        Meta(
            description="Address of the metrics listener. Everyone who can reach it can read the"
            " metrics."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(
            ge=-1,
            le=65535,
            description="TCP port of a separate metrics listener without sign-in; -1: none, 0: any"
            " free port.",
        ),
    ] = -1
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Host names that are accepted in requests, besides its addresses and"
            " localhost."
        ),
    ] = ()


class LogSection(Section, frozen=True, kw_only=True):
    """The log, on standard error."""

    debug: Annotated[bool, Meta(description="Log debug messages.")] = False
    format: Annotated[
        Literal["text", "json"],
        Meta(description="`text`: lines of text; `json`: one JSON object per line."),
    ] = "text"
