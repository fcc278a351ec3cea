# SPDX-License-Identifier: BSD-3-Clause
"""The OpenAPI document describes the API correctly, as checked by other tools, and as a page."""

import asyncio
import html.parser
import os
import re
import subprocess
import sys
from http import HTTPMethod
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis.configuration import storage_directory

from pyaiot.web.api.documents import CONTENT_SECURITY_POLICY, FILES
from pyaiot.web.api.openapi import document
from pyaiot.web.api.operations import OPERATIONS
from pyaiot.web.problems import KINDS
from tests.web.serving import Served, serving

# A schema does not express which parameters can be combined, and which texts are cursors or days of
# a month. The stream has no end; it has its own tests.
CONFIG = """
[[operations]]
include-path = "/api/events"
enabled = false
[[operations]]
include-path-regex = "history|export|/api/nodes$|/things$|/api/alert-rules/"
checks.positive_data_acceptance.expected-statuses = ["2xx", "304", "400", "401", "403", "404"]
# Some rules cannot be expressed in a schema: a latitude requires a longitude. Nor can a revision.
[[operations]]
include-method = ["PATCH", "POST", "DELETE"]
checks.positive_data_acceptance.expected-statuses = [
    "2xx", "400", "401", "403", "404", "409", "412"
]
[[operations]]
include-path-regex = "/image$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "412"]
[[operations]]
include-method = "PUT"
parameters = { uid = "n", name = "led" }
"""


def test_every_operation_and_answer_is_in_the_document() -> None:
    api = document()
    found = {(m.upper(), path) for path, methods in api["paths"].items() for m in methods}
    assert found == {(operation.method, operation.path) for operation in OPERATIONS}
    for methods in api["paths"].values():
        for operation in methods.values():
            assert {"400", "401", "403", "500"} <= set(operation["responses"])
            for parameter in operation["parameters"]:
                assert parameter["description"], parameter["name"]


def test_schemas_are_valid_and_every_reference_resolves() -> None:
    api = document()
    text = msgspec.json.encode(api).decode()
    for name in re.findall(r'"#/components/schemas/(\w+)"', text):
        assert name in api["components"]["schemas"]
    for name in api["components"]["schemas"]:
        jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": api["components"]}
        )


@pytest.mark.parametrize(
    ("path", "schema", "field"),
    [
        ("/api/nodes/{uid}/resources/{name}", "LatestReading", "data"),
        ("/api/cluster", "Cluster", "peers"),
    ],
)
def test_schemas_have_the_names_of_what_they_describe(path: str, schema: str, field: str) -> None:
    """Generated clients name their classes after the schemas."""
    api = document()
    content = api["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": f"#/components/schemas/{schema}"}
    schemas = api["components"]["schemas"]
    assert field in schemas[schema]["properties"]
    assert "broker" in schemas["ClusterPeer"]["description"]


def validator(api: dict[str, Any], schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({**schema, "components": api["components"]})


@pytest.mark.sockets
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """Hundreds of valid and invalid requests, generated from the document alone."""
    async with serving(tmp_path) as served:
        await _some_history(served)
        config = tmp_path / "schemathesis.toml"
        config.write_text(CONFIG, "utf-8")
        served.gateway.otherwise = "confirmed"
        # For each request, it looks through all variables for proxies. Its tables of characters
        # take a second: they are kept where those of this process are.
        environment = {
            "PATH": os.environ["PATH"],
            "HYPOTHESIS_STORAGE_DIRECTORY": str(storage_directory().path),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run"),
            served.url + "api/openapi.json",
            *("--max-examples=4", "--seed=1", "--generation-deterministic", "--no-color"),
            *("--phases=examples,coverage,fuzzing", "--request-timeout=5"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=environment,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        text = output.decode()
        assert process.returncode == 0, text
        assert "Selected: 51/52" in text  # all but the stream
        assert "Tested: 51" in text


async def _some_history(served: Served) -> None:
    for count in range(20):
        served.gateway.send("n", "temperature", f"{count}.5°C")
        served.gateway.send("é/x", "text", {"a": count})
    await served.known("é/x")


@pytest.mark.sockets
async def test_page_is_complete_and_loads_nothing_from_elsewhere() -> None:
    async with serving() as served:
        async with served.web.get("/api/docs") as answer:
            assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
            page = await answer.text()
        for name, kind in FILES.items():
            async with served.web.get(f"/api/{name}") as file:
                assert (file.status, file.content_type) == (200, kind)
        etag = {"If-None-Match": answer.headers["ETag"]}
        async with served.web.get("/api/docs", headers=etag) as again:
            assert again.status == 304
    collected = Collected()
    collected.feed(page)
    assert collected.sources == {
        *("docs.css", "docs.js", "/", "openapi.json", "../favicon.svg"),
    }
    assert "style" not in collected.tags
    assert collected.anchors <= collected.ids
    for operation in OPERATIONS:
        assert operation.name in collected.ids
        assert HTTPMethod(operation.method) in page
    assert {f"problem-{kind}" for kind in KINDS} <= collected.ids


class Collected(html.parser.HTMLParser):
    """The references of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.sources: set[str] = set()
        self.anchors: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name != "style"
            match name, value:
                case "id", str():
                    self.ids.add(value)
                case "href" | "src", str() if value.startswith("#"):
                    self.anchors.add(value[1:])
                case "href" | "src", str():
                    self.sources.add(value)


def test_body_of_a_write_may_be_bytes() -> None:
    # openapi-python-client does not support text/plain.
    put = document()["paths"]["/api/nodes/{uid}/resources/{name}"]["put"]
    content = put["requestBody"]["content"]
    assert list(content) == ["text/plain", "application/octet-stream"]
    assert content["application/octet-stream"]["schema"]["format"] == "binary"


@pytest.mark.parametrize("path", ["/api", "/api/"])
@pytest.mark.sockets
async def test_root_of_the_api_redirects_to_its_page(path: str) -> None:
    async with serving() as served, served.web.get(path) as answer:
        assert answer.status == 200
        assert answer.url.path == "/api/docs"
        assert answer.content_type == "text/html"
