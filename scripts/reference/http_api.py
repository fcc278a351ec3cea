# SPDX-License-Identifier: BSD-3-Clause
"""docs/reference/http-api.md and openapi.json: the HTTP API, from the document that the broker
serves."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pyaiot.web.api import openapi
from pyaiot.web.problems import KINDS
from scripts.reference.describe import table

INTRODUCTION: Final = """\
# The HTTP API

<!-- Written by scripts/generate-docs from src/pyaiot/web/api. -->

The HTTP API below `/api` of a broker. Every broker also serves this reference, without internet
access: as a page at `/api/docs`, and as [OpenAPI 3.1](openapi.json) at `/api/openapi.json`. [Get
the data](../how-to/get-the-data.md) has examples.

* Names in a path are percent-encoded: the node `a/b` is `/api/nodes/a%2Fb`.
* Errors are problem documents ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), including
  those of unknown paths. Their types are [below](#problems). A browser that opens a page gets only
  the sentence.
* [Listeners](listeners.md#access) describes access: viewers may read, `PUT` needs a session.
* Some responses have an `ETag`, for use in `If-None-Match`.
"""


def document() -> str:
    """The text of openapi.json."""
    return json.dumps(openapi.document(), indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """The text of the page."""
    api = openapi.document()
    parts = [INTRODUCTION]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            parts.append("\n".join(_operation(path, method, operation)))
    rows = [(f"`{kind}`", meaning) for kind, meaning in KINDS.items()]
    parts.append("## Problems\n\n" + table(("end of `type`", "meaning"), rows))
    parts.append("## Types\n")
    for name, schema in api["components"]["schemas"].items():
        parts.append("\n".join(_schema(name, schema)))
    return "\n".join(parts)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {operation['summary']}\n\n`{method.upper()} {path}`\n"
    if "description" in operation:
        yield _wrapped(operation["description"])
    rows = [
        (
            f"`{parameter['name']}`",
            parameter["in"],
            kind_of(parameter["schema"]),
            parameter["description"],
        )
        for parameter in operation["parameters"]
        if parameter["in"] != "path"
    ]
    if rows:
        yield table(("parameter", "in", "type", "meaning"), rows)
    if "requestBody" in operation:
        yield _wrapped("Body: " + operation["requestBody"]["description"])
    answers = [
        (f"`{status}`", _bodies(answer), answer["description"])
        for status, answer in operation["responses"].items()
        if status not in {"401", "403", "500"}
    ]
    yield table(("status", "body", "meaning"), answers)


def _bodies(answer: Mapping[str, Any]) -> str:
    return ", ".join(
        _link(content["schema"]) or f"`{media}`"
        for media, content in answer.get("content", {}).items()
    )


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n\n{_wrapped(schema.get('description', ''))}"
    required = schema.get("required", ())
    rows = [
        (
            f"`{field}`" + ("" if field in required else " (optional)"),
            _link(described) or kind_of(described),
            described.get("description", ""),
        )
        for field, described in schema["properties"].items()
    ]
    yield table(("field", "type", "meaning"), rows)


def kind_of(schema: Mapping[str, Any]) -> str:
    """The type of a value in words."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema and schema["anyOf"][0].get("type") == "array":
        return f"{kind_of(schema['anyOf'][1])}, or several"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(kind) for kind in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_link(schema['items']) or kind_of(schema['items'])}"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    limits = f", {low:,.12g} to {schema['maximum']:,.12g}" if "maximum" in schema else ""
    default = f", `{schema['default']}` if absent" if "default" in schema else ""
    return str(schema.get("type", "any JSON")) + limits + default


def _link(schema: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return f"[{name}](#{name.lower()})" if name else ""


def _wrapped(text: str) -> str:
    """Prose of at most 100 columns."""
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) >= 100:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line]) + "\n"
