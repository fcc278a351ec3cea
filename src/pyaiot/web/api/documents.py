# SPDX-License-Identifier: BSD-3-Clause
"""`/api/openapi.json`, and the same as a page at `/api/docs` that needs no other resources."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from typing import Any, Final

import msgspec
from aiohttp import web

from pyaiot.web.api.openapi import document
from pyaiot.web.api.parameters import Query
from pyaiot.web.api.responses import HEADERS, matches_etag, not_modified
from pyaiot.web.problems import KINDS

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""The page has no scripts."""

_STYLE: Final = """\
:root { color-scheme: light dark; }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h2 { margin-top: 2.5rem; border-top: 1px solid #8886; padding-top: 1rem; font-size: 1.2rem; }
h2 small { font-weight: normal; opacity: .7; }
code { font: .9em ui-monospace, monospace; background: #8882; padding: .1em .3em;
  overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin-bottom: 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid #8884; }
th { font-weight: 600; }
.method { font-weight: 700; }
nav a { display: block; }
a:focus-visible { outline: 2px solid; }
"""


class DocumentsApi:
    """The handlers of the documents, which are made on the first request."""

    @cached_property
    def _json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(document()), indent=2)

    @cached_property
    def _page(self) -> bytes:
        return page(document()).encode()

    async def openapi(self, request: web.Request, _query: Query) -> web.StreamResponse:
        return _file(request, self._json, "application/json", {})

    async def docs(self, request: web.Request, _query: Query) -> web.StreamResponse:
        policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return _file(request, self._page, "text/html", policy)

    async def root(self, _request: web.Request) -> web.StreamResponse:
        """`GET /api`: redirects to the page."""
        raise web.HTTPFound("/api/docs")

    async def style(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/docs.css`."""
        return _file(request, _STYLE.encode(), "text/css", {})


def _file(
    request: web.Request, body: bytes, content_type: str, headers: Mapping[str, str]
) -> web.Response:
    etag = hashlib.sha256(body).hexdigest()[:16]
    if matches_etag(request, etag):
        return not_modified(etag)
    charset = "utf-8" if content_type.startswith("text/") else None
    response = web.Response(
        body=body, content_type=content_type, charset=charset, headers={**HEADERS, **headers}
    )
    response.etag = etag
    return response


def page(api: Mapping[str, Any]) -> str:
    """An OpenAPI document as a page."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(api['info']['title'])}: HTTP API</title>",
        '<link rel="stylesheet" href="docs.css"></head><body><main>',
        f"<h1>{escape(api['info']['title'])} {escape(api['info']['version'])}: HTTP API</h1>",
        f"<p>{_text(api['info']['description'])}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p><nav>',
    ]
    operations = [
        (path, method, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    parts += [
        f'<a href="#{operation["operationId"]}"><code>{method.upper()} {escape(path)}</code>'
        f" {escape(operation['summary'])}</a>"
        for path, method, operation in operations
    ]
    parts.append('<a href="#problems">Problems</a> <a href="#types">Types</a></nav>')
    for path, method, operation in operations:
        parts += _operation(path, method, operation)
    parts.append('<h2 id="problems">Problems</h2>')
    parts += _table(
        ("type", "meaning"),
        [
            (f'<span id="problem-{kind}"></span>{_code(kind)}', _text(meaning))
            for kind, meaning in KINDS.items()
        ],
    )
    parts.append('<h2 id="types">Types</h2>')
    for name, schema in api["components"]["schemas"].items():
        parts += _schema(name, schema)
    parts.append("</main></body></html>\n")
    return "\n".join(parts)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> list[str]:
    heading = f'<h2 id="{operation["operationId"]}">{escape(operation["summary"])}<br><small>'
    signature = f'<code><span class="method">{method.upper()}</span> {escape(path)}</code>'
    parts = [f"{heading}{signature}</small></h2>"]
    if "description" in operation:
        parts.append(f"<p>{_text(operation['description'])}</p>")
    rows = [
        (
            _code(parameter["name"]),
            escape(parameter["in"]),
            type_text(parameter["schema"]),
            _text(parameter["description"]),
        )
        for parameter in operation["parameters"]
    ]
    if rows:
        parts += _table(("parameter", "in", "type", "meaning"), rows)
    if "requestBody" in operation:
        parts.append(f"<p>Body: {_text(operation['requestBody']['description'])}</p>")
    responses = [
        (
            _code(status),
            ", ".join(
                _link(content["schema"]) or _code(media)
                for media, content in response.get("content", {}).items()
            ),
            _text(response["description"]),
        )
        for status, response in operation["responses"].items()
    ]
    return [*parts, *_table(("status", "body", "meaning"), responses)]


def _schema(name: str, schema: Mapping[str, Any]) -> list[str]:
    required = schema.get("required", ())
    rows = [
        (
            _code(field) + ("" if field in required else " (optional)"),
            _link(described) or type_text(described),
            _text(described.get("description", "")),
        )
        for field, described in schema["properties"].items()
    ]
    heading = f'<h3 id="type-{name}">{escape(name)}</h3><p>{_text(schema.get("description", ""))}'
    return [heading + "</p>", *_table(("field", "type", "meaning"), rows)]


def type_text(schema: Mapping[str, Any]) -> str:
    """The type of a value as HTML text."""
    if "enum" in schema:
        return ", ".join(_code(str(value)) for value in schema["enum"])
    if "anyOf" in schema and schema["anyOf"][0].get("type") == "array":
        return f"{type_text(schema['anyOf'][1])}, or several"
    if "anyOf" in schema:
        return " or ".join(type_text(kind) for kind in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_link(schema['items']) or type_text(schema['items'])}"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    limits = f", {low:,.12g} to {schema['maximum']:,.12g}" if "maximum" in schema else ""
    default = f", {_code(str(schema['default']))} if absent" if "default" in schema else ""
    return escape(schema.get("type", "any JSON")) + limits + default


def _link(schema: Mapping[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    return f'<a href="#type-{name}">{name}</a>' if name else ""


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = ["<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    return [*lines, "</table>"]


def _text(text: str) -> str:
    """HTML of a text; parts between backticks become code."""
    parts = text.split("`")
    return "".join(_code(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
