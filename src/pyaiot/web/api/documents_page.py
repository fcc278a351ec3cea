# SPDX-License-Identifier: BSD-3-Clause
"""Renders an OpenAPI document as a page, with a form for each operation."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pyaiot.web.problems import KINDS


def page(api: Mapping[str, Any]) -> str:
    """An OpenAPI document as a page."""
    title = f"{escape(api['info']['title'])} {escape(api['info']['version'])}: HTTP API"
    operations = [
        (path, method, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        '<link rel="icon" href="../favicon.svg">',
        '<link rel="stylesheet" href="docs.css"><script src="docs.js" defer></script></head><body>',
        '<header><img src="../favicon.svg" alt="" width="28" height="28">',
        f'<h1>{title}</h1><a href="/">Dashboard</a></header><div class="layout">',
        *_navigation(operations),
        f"<main><section><p>{_text(api['info']['description'])}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1). “Try it” sends',
        " requests to this broker, with your rights.</p></section>",
    ]
    for path, method, operation in operations:
        parts += [f'<section id="{operation["operationId"]}">']
        parts += _operation(path, method, operation)
        parts += [*_form(path, method, operation), "</section>"]
    parts.append('<section><h2 id="problems">Problems</h2>')
    parts += _table(
        ("type", "meaning"),
        [
            (f'<span id="problem-{kind}"></span>{_code(kind)}', _text(meaning))
            for kind, meaning in KINDS.items()
        ],
    )
    parts.append('</section><section><h2 id="types">Types</h2>')
    for name, schema in api["components"]["schemas"].items():
        parts += _schema(name, schema)
    parts.append("</section></main></div></body></html>\n")
    return "\n".join(parts)


def _navigation(operations: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    """Links to the operations, in groups by the first part of their paths."""
    groups: dict[str, list[str]] = {}
    for path, method, operation in operations:
        groups.setdefault(path.removeprefix("/api").split("/")[1], []).append(
            f'<a href="#{operation["operationId"]}"><span class="method">{method.upper()}</span>'
            f" {escape(operation['summary'])}</a>"
        )
    parts = ['<nav aria-label="Operations">']
    for name, links in groups.items():
        parts += [f"<h2>{escape(name)}</h2>", *links]
    return [*parts, '<h2>more</h2><a href="#problems">Problems</a><a href="#types">Types</a></nav>']


def _form(path: str, method: str, operation: Mapping[str, Any]) -> list[str]:
    """The form that sends the request of an operation. `docs.js` handles it."""
    changes = "" if method == "get" else ' class="changes"'
    parts = [
        "<details><summary>Try it</summary>",
        f'<form data-method="{method.upper()}" data-path="{escape(path)}"{changes}>',
    ]
    for parameter in operation["parameters"]:
        required = " required" if parameter["in"] == "path" else ""
        name = escape(parameter["name"])
        parts.append(
            f'<label>{name} <input name="{name}" data-in="{parameter["in"]}" autocomplete="off"'
            f' spellcheck="false"{required}></label>'
        )
    if "requestBody" in operation:
        kinds = "".join(f"<option>{kind}</option>" for kind in operation["requestBody"]["content"])
        parts.append(
            f'<label>type of the body <select name="content-type">{kinds}</select></label>'
        )
        is_file = all(kind.startswith("image/") for kind in operation["requestBody"]["content"])
        parts.append(
            '<label>body <input type="file" name="body"></label>'
            if is_file
            else '<label>body <textarea name="body" spellcheck="false"></textarea></label>'
        )
    return [
        *parts,
        f'<button>Send {method.upper()}</button></form><output aria-live="polite"></output>',
        "</details>",
    ]


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> list[str]:
    signature = f'<code><span class="method">{method.upper()}</span> {escape(path)}</code>'
    parts = [f'<h2>{escape(operation["summary"])}</h2><p class="path">{signature}</p>']
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
    """The HTML of a text; parts between backticks become code."""
    parts = text.split("`")
    return "".join(_code(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
