# SPDX-License-Identifier: BSD-3-Clause
"""The documents are correct: links, tables, generated pages, examples and names."""

import json
import re
import struct
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from pyaiot import config, messages
from pyaiot.accounts.store import AccountsFile
from pyaiot.alerts.rules_file import read_alerts_file
from pyaiot.broker.broker import Broker
from pyaiot.web.app import WebApp
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.sign_in import SignIn
from scripts.reference import asyncapi, limits
from scripts.reference.__main__ import FOLDER, PAGES
from scripts.reference.commands import commands
from scripts.reference.messages import DIRECTIONS, structs, wire_type
from tests.documents import ROOT, Block, documents, headings, prose, slug
from tests.test_imports import MAY_IMPORT, PURE_PACKAGES

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")

OURS = [path for path in documents() if path.name not in {"CONTRIBUTING.md", "SECURITY.md"}]
"""The documents that are for users."""
WRITTEN = [path for path in OURS if path.parent != FOLDER or path.name not in PAGES]
"""Those that no script wrote."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def table_rows(text: str, heading: str) -> list[list[str]]:
    """The cells of every table below a heading, up to the next one of the same rank."""
    rank = heading.partition(" ")[0]
    section = re.split(rf"^{rank} ", text.split(f"\n{heading}\n")[1], flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    rule = [index for index, row in enumerate(rows) if set(row[0]) == {"-"}]
    return [row for index, row in enumerate(rows) if not {index, index + 1} & set(rule)]


# -- links and words ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.is_relative_to(ROOT), target
        assert file.exists(), target
        if anchor:
            assert anchor in {slug(heading) for heading in headings(file)}, target


@pytest.mark.parametrize(
    "word", ["rate limit", "deduplication", "embedded broker", "retention", "receipt", "backoff"]
)
def test_words_that_readers_look_for_are_in_the_glossary(word: str) -> None:
    rows = (ROOT / "docs" / "reference" / "glossary.md").read_text("utf-8").splitlines()
    entries = [row.split("|")[1] for row in rows if row.startswith("|")]
    assert any(word in [each.strip() for each in entry.split(",")] for entry in entries)


def test_json_in_the_shell_of_riot_is_quoted() -> None:
    """That shell removes double quotes that are not inside single quotes."""
    page = (ROOT / "docs" / "how-to" / "mqtt-sn.md").read_text("utf-8")
    commands = re.findall(r"^pub \S+ (.+) \d$", page, re.MULTILINE)
    assert commands
    assert all(re.fullmatch(r"'\{.+\}'|[^{\"]+", command) for command in commands)


def test_example_for_riot_names_its_release_and_the_address_of_the_tap() -> None:
    page = (ROOT / "examples" / "riot-gcoap" / "README.md").read_text("utf-8")
    assert "2024.07 or newer" in page
    (address,) = re.findall(r"ip address add (\S+)/64 dev tap0", page)
    assert re.search(rf"GATEWAY=\S*{re.escape(address)}", page)


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    lists = (index, ROOT / "docs" / "decisions" / "README.md")
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in lists
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    }
    pages = {path for path in (ROOT / "docs").rglob("*.md") if path != index}
    assert {relative(page) for page in pages - linked} == set()


@pytest.mark.parametrize("path", WRITTEN, ids=relative)
def test_words_are_for_readers(path: Path) -> None:
    # Written in parts: this file is searched for some of them too. (MQTT has other sessions.)
    banned = re.compile("|".join((r"\bhelp" + "ers?\\b", "/wo" + r"rk\b")))
    text = re.sub(r"`[^`\n]*`", "", path.read_text("utf-8"))
    assert banned.findall(text.lower()) == []


@pytest.mark.parametrize("path", WRITTEN, ids=relative)
def test_lines_are_short(path: Path) -> None:
    free = re.compile(r"\s*(\||!\[)")  # a row of a table and a picture are one line
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if len(line) > 100 and not free.match(line)] == []


def test_the_picture_of_the_page_is_wide_and_light() -> None:
    data = (ROOT / "docs" / "images" / "dashboard.png").read_bytes()
    width, _ = struct.unpack(">II", data[16:24])
    assert data[1:4] == b"PNG"
    assert width == 1440
    assert len(data) < 150_000


def test_the_animated_picture_of_the_readme_is_light() -> None:
    assert "docs/images/live.webp" in (ROOT / "README.md").read_text("utf-8")
    assert (ROOT / "docs" / "images" / "live.webp").stat().st_size < 1_500_000


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 90


# -- what the code dictates -----------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_generated_page_is_up_to_date(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    assert text == PAGES[name](), "run scripts/generate-docs"


def test_every_setting_is_explained() -> None:
    text = (FOLDER / "settings.md").read_text("utf-8")
    for setting in config.settings():
        assert setting.description, setting.key
        for name in (f"`{setting.name}`", f"`{setting.variable}`", f"## `[{setting.section}]`"):
            assert name in text, setting.key


def test_every_command_and_flag_is_explained() -> None:
    text = (FOLDER / "commands.md").read_text("utf-8")
    for command in commands():
        assert f"## `{command.name}`\n\n{command.help}\n" in text
        for option in command.options:
            assert option.help, (command.name, option.names)
            assert all(f"`{name}`" in text for name in option.names)


def test_every_message_and_field_is_explained() -> None:
    text = (FOLDER / "messages.md").read_text("utf-8")
    for message in structs():
        section = text.split(f"\n## `{wire_type(message)}` – {message.__name__}\n")[1]
        for field in message.__struct_encode_fields__:
            assert f"\n| `{field}` |" in section.partition("\n## ")[0], message


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_examples_are_messages_of_their_direction(direction: str) -> None:
    decode: Any = {
        "client → broker": messages.decode_from_client,
        "broker → client": messages.decode_to_client,
        "gateway → broker": lambda frame: messages.decode_from_gateway(frame)[0],
        "broker → gateway": messages.decode_to_gateway,
    }[direction]
    (frame,) = (name for name, (who, *_) in asyncapi.FRAMES.items() if who == direction)
    document = json.loads((FOLDER / "asyncapi.json").read_text("utf-8"))
    payload = document["components"]["messages"][frame]["examples"][0]["payload"]
    decoded = decode(json.dumps(payload).encode())
    assert {type(message) for message in decoded} == set(get_args(DIRECTIONS[direction]))


def test_asyncapi_refers_to_what_is_there() -> None:
    document = json.loads((FOLDER / "asyncapi.json").read_text("utf-8"))

    def references(part: object) -> Iterator[str]:
        if isinstance(part, dict):
            if "$ref" in part:
                yield part["$ref"]
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    found = set(references(document))
    assert len(found) > len(structs())
    for reference in found:
        place = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_table_of_imports_is_the_one_that_is_tested() -> None:
    rows = dict(table_rows(ARCHITECTURE, "## The house"))
    written = {name.strip("`"): set(re.findall(r"`(\w+)`", cell)) for name, cell in rows.items()}
    assert written == MAY_IMPORT
    sentence = " ".join(ARCHITECTURE.split()).partition("All modules of ")[2]
    assert set(re.findall(r"`(\w+)`", sentence.partition(" are pure")[0])) == PURE_PACKAGES


def test_the_architecture_fits_on_a_few_screens() -> None:
    assert len(ARCHITECTURE.splitlines()) <= 200


def decisions() -> list[Path]:
    return sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("path", decisions(), ids=relative)
def test_a_decision_has_context_decision_and_consequences(path: Path) -> None:
    title, *sections = headings(path)
    assert title.startswith(f"{int(path.name[:4])}. ")
    assert sections == ["Context", "Decision", "Consequences"]


def test_decisions_are_numbered_and_listed() -> None:
    assert [int(path.name[:4]) for path in decisions()] == list(range(1, len(decisions()) + 1))
    index = (ROOT / "docs" / "decisions" / "README.md").read_text("utf-8")
    listed = re.findall(r"\]\((\d[^)]+)\)", index)
    assert listed == [path.name for path in decisions()]


def test_every_limit_has_a_consequence() -> None:
    silent = [limit.name for limit in limits.limits() if not limit.text]
    assert silent == [], "describe it in a docstring below the constant"


def test_no_exception_outlives_its_constant() -> None:
    known = {limit.name for limit in limits.numbers()}
    assert set(limits.NOT_LIMITS) <= known
    assert set(limits.TEXTS) <= known


def test_every_receipt_and_reason_is_understood() -> None:
    page = (ROOT / "docs" / "explanation" / "commands.md").read_text("utf-8")
    rows = table_rows(page, "## What each receipt means")
    assert [row[0].strip("`") for row in rows] == list(get_args(messages.ReceiptState))
    failures = (ROOT / "docs" / "explanation" / "failures.md").read_text("utf-8")
    for reason in set(get_args(messages.LeftReason)) - {"left"}:
        assert f"`{reason}`" in failures


async def test_every_path_of_the_web_listener_is_documented() -> None:
    class _Timer:
        def time(self) -> float:
            return 0.0

        def call_later(self, delay: float, callback: object, /) -> None: ...

    broker = Broker(flush_interval_s=0.0, timer=_Timer(), unix_time=lambda: 0.0)
    login = SignIn(AccountsFile(None), behind_tls=False, viewers=False, clock=lambda: 0.0)
    files = ("index.html", "assets/a.js", "favicon.svg", "icons/a.png", "service-worker.js")
    page = Dashboard(Look(), dict.fromkeys(files, b""))
    app = WebApp(broker, tokens=None, title="", sign_in=login, dashboard=page).app
    served = {resource.canonical for resource in app.router.resources()}
    rows = table_rows((FOLDER / "listeners.md").read_text("utf-8"), "## Paths of the web listener")
    written = {row[0].strip("`") for row in rows}
    prefixes = ("/static/", "/assets/", "/favicon", "/icons/")
    assert {path for path in served if not path.startswith(prefixes)} == written


# -- examples -------------------------------------------------------------------------------------


def blocks(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{relative(block.path)}:{block.line}")
        for path in OURS
        for block in Block.of(path)
        if block.language == language
    ]


@pytest.mark.parametrize("block", blocks("toml"))
def test_settings_in_the_documents_are_valid(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(block.text, "utf-8")
    if "[channels]" in block.text:
        assert read_alerts_file(file).rules
        return
    _, origins = config.load(file, {}, {})
    given = [
        f"{section}.{key}" for section, keys in tomllib.loads(block.text).items() for key in keys
    ]
    assert [key for key, origin in origins.items() if origin == str(file)]
    assert {key for key, origin in origins.items() if origin == str(file)} == set(given)


@pytest.mark.parametrize("block", blocks("json"))
def test_messages_in_the_documents_are_messages(block: Block) -> None:
    by_a_client = block.path.parent != FOLDER
    assert json.loads(block.text)
    if by_a_client:
        assert len(messages.decode_from_client(block.text)) == 1


@pytest.fixture(scope="module")
def known_flags() -> dict[str, set[str]]:
    """The flags of each command."""
    known = {
        command.name: {name for option in command.options for name in option.names} | {"--help"}
        for command in commands()
    }
    known["aiot service install"] |= known["aiot run"]  # which it hands on
    return known


@pytest.mark.parametrize("path", OURS, ids=relative)
def test_every_flag_in_the_documents_exists(path: Path, known_flags: dict[str, set[str]]) -> None:
    text = path.read_text("utf-8").replace("\\\n", " ").replace("aiot service exec", "aiot")
    groups = {command.rpartition(" ")[0] for command in known_flags}
    for line in re.findall(r"\baiot (?:[a-z][a-z -]*)?[^`\n#]*", text):
        words = line.split()
        if "--" not in line:
            continue
        name = "aiot"
        for word in words[1:]:
            if f"{name} {word}" not in known_flags.keys() | groups:
                break
            name += f" {word}"
        flags = {word.rstrip(",.;:)") for word in words if word.startswith("--")}
        assert flags <= known_flags[name], line
