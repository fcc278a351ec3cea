# SPDX-License-Identifier: BSD-3-Clause
"""Generates the OpenAPI 3.1 document from the operations and the types of their responses."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from pyaiot import __version__
from pyaiot.web.api import history_schemas
from pyaiot.web.api.operation import Operation, ResponseSpec
from pyaiot.web.api.operations import JSON, OPERATIONS, PATH_PARAMETERS, PATH_PATTERNS
from pyaiot.web.problems import KINDS, PROBLEM_TYPE, TYPE_PREFIX, ProblemDetails

REF: Final = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    """The document as JSON values."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pyaiot",
            "version": __version__,
            "description": "Constrained devices on the web: nodes, their values, their history and"
            " commands. Every error is a problem document (RFC 9457).",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-aiot",
                    "description": "Required beyond loopback: the cookie of a browser that opened"
                    " the sign-in link printed by the broker (named `aiot` without TLS).",
                },
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Beyond loopback, instead of the cookie: a token of `aiot token"
                    " add`.",
                },
            },
        },
        "security": [{}, {"session": []}, {"token": []}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": dict(_responses(operation)),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body and operation.body_types:
        binary = {"schema": {"type": "string", "format": "binary"}}
        described["requestBody"] = {
            "description": operation.body,
            "required": True,
            "content": dict.fromkeys(operation.body_types, binary),
        }
    elif operation.body:
        described["requestBody"] = {
            "description": operation.body,
            "required": True,
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": "1"},
                # Some client generators support no other type for a body other than JSON.
                "application/octet-stream": {
                    "schema": {"type": "string", "format": "binary"},
                    "example": "1",
                },
            },
        }
    if operation.json_body is not None:
        described["requestBody"] = {
            "description": " ".join((inspect.getdoc(operation.json_body) or "").split()),
            "required": True,
            "content": {JSON: {"schema": {"$ref": REF.format(name=operation.json_body.__name__)}}},
        }
    return described


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", operation.path):
        schema: dict[str, Any] = {"type": "string", "minLength": 1}
        if name in PATH_PATTERNS:
            schema["pattern"] = PATH_PATTERNS[name]
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARAMETERS[name],
            "schema": schema,
        }
    components = msgspec.json.schema_components([operation.query], ref_template=REF)[1]
    properties = components[operation.query.__name__]["properties"]
    for name, schema in properties.items():
        yield {"name": name, "in": "query", **_described(_without_null(schema))}
    for header in operation.headers:
        yield {
            "name": header.name,
            "in": "header",
            "description": header.description,
            "schema": {
                "type": "string",
                **({"maxLength": header.length_max} if header.length_max else {}),
                **({"pattern": header.pattern} if header.pattern else {}),
            },
            **({"example": header.example} if header.example else {}),
        }
    if operation.conditional:
        yield {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of an earlier response. If nothing has changed: 304.",
            "schema": {"type": "string"},
        }


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Remove null from a schema: a parameter may be absent, but is never null."""
    shown = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if schema.get("default") is not None:
        shown["default"] = schema["default"]
    for kind in schema.get("anyOf", ()):
        if kind != {"type": "null"}:
            shown.update(kind)
    if shown.get("type") == "array":
        # Repeated or single: in a URL, one value and a list of one value look the same.
        description = shown.pop("description")
        return {"description": description, "anyOf": [shown, shown["items"]]}
    return shown


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Move the description out of the schema to the place where tools show it."""
    description = schema.pop("description", "")
    return {"description": description, "schema": schema}


def _responses(operation: Operation) -> Iterator[tuple[str, Any]]:
    for status, response in operation.responses.items():
        yield str(status), _response(operation, response)
    if operation.conditional:
        yield "304", {"description": "Unchanged since the `ETag` in `If-None-Match`."}
    problems = {400: ("bad-request",), **operation.problems}
    for status, kinds in sorted(problems.items()):
        yield str(status), _problem(" ".join(f"`{kind}`: {KINDS[kind]}" for kind in kinds))
    yield "401", _problem("Not signed in: open the sign-in link that the broker printed.")
    yield (
        "403",
        _problem("The origin, host name or permissions of the request do not allow this."),
    )
    yield "500", _problem("An internal error of the broker. Its log has the reason.")


def _response(operation: Operation, response: ResponseSpec) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if response.body is not None:
        content[JSON] = {"schema": {"$ref": REF.format(name=response.body.__name__)}}
    if response.is_any_json:
        content[JSON] = {"schema": {}}
    for media_type in response.other_types:
        any_json = media_type == JSON
        content[media_type] = {"schema": {"type": "object"} if any_json else {"type": "string"}}
        if media_type == "application/td+json":
            content[media_type] = {"schema": {"type": ["object", "array"]}}
        if media_type == "application/senml+json":
            content[media_type] = {"schema": {"type": "array", "items": {"type": "object"}}}
    headers = dict(response.headers)
    if operation.conditional:
        headers["ETag"] = "The version of the response; send it back in `If-None-Match`."
    described = {"description": response.description, "content": content}
    if headers:
        described["headers"] = {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in headers.items()
        }
    return described


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {PROBLEM_TYPE: {"schema": {"$ref": REF.format(name="ProblemDetails")}}},
    }


def _schemas() -> dict[str, Any]:
    types = [
        history_schemas.ExportedReading,
        ProblemDetails,
        *(
            response.body
            for operation in OPERATIONS
            for response in operation.responses.values()
            if response.body is not None
        ),
        *(operation.json_body for operation in OPERATIONS if operation.json_body is not None),
    ]
    components: dict[str, Any] = msgspec.json.schema_components(types, ref_template=REF)[1]
    problem = components["ProblemDetails"]["properties"]
    problem["type"]["examples"] = [TYPE_PREFIX + kind for kind in KINDS]
    problem["command"] = {"$ref": REF.format(name="Command")}
    return dict(sorted(components.items()))
