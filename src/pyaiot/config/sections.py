# SPDX-License-Identifier: BSD-3-Clause
"""Every setting of every service, in sections: its name, type, default, limits and meaning."""

from typing import Annotated, Literal

from msgspec import Meta

from pyaiot.config.brokers import KEY_FILE
from pyaiot.config.section import Port, Section


class BrokerSection(Section, frozen=True, kw_only=True):
    """The broker and its web side."""

    host: Annotated[
        str,
        Meta(
            description="Address to listen on: `127.0.0.1` is loopback of IPv4 and IPv6, `::` every"
            " address of both. Beyond loopback, it needs `insecure` or `behind_proxy`."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        Port, Meta(description="TCP port of page, clients and gateways; 0: any free one.")
    ] = 8000
    key_file: Annotated[
        str,
        Meta(description="Key file that gateways in processes of their own share with the broker."),
    ] = KEY_FILE
    flush_interval_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="Messages for clients are gathered for so many milliseconds when it is"
            " busy; 0 gathers those of one turn of the loop.",
        ),
    ] = 20.0
    title: Annotated[str, Meta(max_length=64, description="Title of the page.")] = "Pyaiot"
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Host names under which it may be reached; its addresses and localhost"
            " always may."
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(description="Origins (https://name:port) of other sites whose pages may use it."),
    ] = ()
    insecure: Annotated[
        bool,
        Meta(
            description="Allow to listen beyond loopback without TLS: what is said there can be"
            " overheard. Who may come in opens a link that is printed at start."
        ),
    ] = False
    behind_proxy: Annotated[
        bool,
        Meta(
            description="A proxy in front speaks TLS to browsers, so that it may listen beyond"
            " loopback. Who may come in opens a link that is printed at start, on loopback too."
        ),
    ] = False
    anonymous: Annotated[
        Literal["none", "viewer"],
        Meta(
            description="Beyond loopback, what those who did not open the link may do: `none`"
            " nothing, `viewer` look on without commanding."
        ),
    ] = "none"


class HistorySection(Section, frozen=True, kw_only=True):
    """What is kept of what nodes said."""

    store: Annotated[
        str,
        Meta(
            description="Where it is kept: the path of a file, a URL `postgresql://…`, or"
            " `off`. Empty:"
            " `~/.local/share/pyaiot/history.db` (`$XDG_DATA_HOME` counts); in the demo, a file"
            " that goes with it."
        ),
    ] = ""
    readings_days: Annotated[
        float,
        Meta(ge=0, le=36500, description="Days for which every reading is kept; 0: for ever."),
    ] = 30.0
    minutes_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which the least, mean, greatest and last number of each minute is"
            " kept, and for as long as readings are; 0: for ever.",
        ),
    ] = 365.0
    hours_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which the same of each hour is kept, and for as long as minutes"
            " are; 0: for ever.",
        ),
    ] = 3650.0
    events_days: Annotated[
        float,
        Meta(
            ge=0,
            le=36500,
            description="Days for which it is kept who came and went, and who commanded what; 0:"
            " for ever.",
        ),
    ] = 365.0


class DashboardSection(Section, frozen=True, kw_only=True):
    """The page: how it looks, and where `aiot dashboard` serves it alone."""

    host: Annotated[str, Meta(description="Address that aiot dashboard listens on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port of aiot dashboard; 0: any free one.")] = 8080
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Host names under which it may be reached; its addresses and localhost"
            " always may."
        ),
    ] = ()
    broker_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Host of the broker, as browsers reach it; localhost: the host under which"
            " they opened the page.",
        ),
    ] = "localhost"
    broker_port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the broker.")] = 8000
    broker_ssl: Annotated[bool, Meta(description="Speak TLS to the broker (wss://).")] = False
    logo: Annotated[
        str, Meta(description="Picture beside the title: a file, or an address (https://…).")
    ] = ""
    favicon: Annotated[str, Meta(description="Picture of the browser's tab: file or address.")] = ""
    camera_url: Annotated[
        str, Meta(description="Address of the image of a camera that looks at the nodes.")
    ] = ""
    webcam_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Hosts (name or name:port) whose images the page may show."),
    ] = ()
    tile_url: Annotated[
        str,
        Meta(
            description="Map tiles, as https://host/{z}/{x}/{y}.png. Empty: the outline of the land"
            " alone, without the internet."
        ),
    ] = ""
    floor_plan: Annotated[
        str, Meta(description="Picture that lies on the map: file or address.")
    ] = ""
    floor_plan_bounds: Annotated[
        str, Meta(description="Where it lies, in degrees: south,west,north,east.")
    ] = ""
    static_path: Annotated[
        str, Meta(description="Folder of a built page to serve in place of the packaged one.")
    ] = ""
