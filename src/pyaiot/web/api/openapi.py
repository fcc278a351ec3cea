# SPDX-License-Identifier: BSD-3-Clause
"""The OpenAPI 3.1 document, made of the operations and the types of their answers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from pyaiot import __version__
from pyaiot.web.api import schemas as answers
from pyaiot.web.api.operations import JSON, OPERATIONS, PATH_PARAMETERS, Answer, Operation
from pyaiot.web.problems import KINDS, PROBLEM_TYPE, TYPE_PREFIX, Problem

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
            "description": "Constrained devices on the web: nodes, their values, their history, and"
            " commands to them. Every error is a problem document (RFC 9457).",
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
                    "description": "Beyond loopback: the cookie of who opened the link that the"
                    " broker printed (`aiot` where no proxy speaks TLS).",
                }
            },
        },
        "security": [{}, {"session": []}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": dict(_responses(operation)),
    }
    if operation.says:
        described["description"] = operation.says
    if operation.body:
        described["requestBody"] = {
            "description": operation.body,
            "required": True,
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": "1"},
                # Some generators of clients know no other type of a body that is no JSON.
                "application/octet-stream": {
                    "schema": {"type": "string", "format": "binary"},
                    "example": "1",
                },
            },
        }
    return described


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", operation.path):
        schema = {"type": "string", "minLength": 1}
        says = PATH_PARAMETERS[name]
        yield {"name": name, "in": "path", "required": True, "description": says, "schema": schema}
    components = msgspec.json.schema_components([operation.query], ref_template=REF)[1]
    properties = components[operation.query.__name__]["properties"]
    for name, schema in properties.items():
        yield {"name": name, "in": "query", **_described(_without_null(schema))}
    for header in operation.headers:
        yield {
            "name": header.name,
            "in": "header",
            "description": header.says,
            "schema": {
                "type": "string",
                **({"maxLength": header.length_max} if header.length_max else {}),
            },
            **({"example": header.example} if header.example else {}),
        }
    if operation.conditional:
        yield {
            "name": "If-None-Match",
            "in": "header",
            "description": "The `ETag` of what you have. If it is still so: 304.",
            "schema": {"type": "string"},
        }


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter is absent, it is never null."""
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if schema.get("default") is not None:
        kept["default"] = schema["default"]
    for kind in schema.get("anyOf", ()):
        if kind != {"type": "null"}:
            kept.update(kind)
    if kept.get("type") == "array":
        # Once or several times: on the wire, one is no different from a list of one.
        says = kept.pop("description")
        return {"description": says, "anyOf": [kept, kept["items"]]}
    return kept


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Description beside the schema, where readers look for it."""
    says = schema.pop("description", "")
    return {"description": says, "schema": schema}


def _responses(operation: Operation) -> Iterator[tuple[str, Any]]:
    for status, answer in operation.answers.items():
        yield str(status), _answer(operation, answer)
    if operation.conditional:
        yield "304", {"description": "It is as you have it."}
    problems = {400: ("bad-request",), **operation.problems}
    for status, kinds in sorted(problems.items()):
        says = " ".join(f"`{kind}`: {KINDS[kind]}" for kind in kinds)
        yield str(status), _problem(says)
    yield "401", _problem("You are not let in: open the link that the broker printed.")
    yield "403", _problem("Not from this origin, by this name, or with what you may do.")
    yield "500", _problem("A fault of the broker. Its log has the reason.")


def _answer(operation: Operation, answer: Answer) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if answer.body is not None:
        content[JSON] = {"schema": {"$ref": REF.format(name=answer.body.__name__)}}
    for media_type in answer.others:
        any_json = media_type == JSON
        content[media_type] = {"schema": {"type": "object"} if any_json else {"type": "string"}}
        if media_type == "application/senml+json":
            content[media_type] = {"schema": {"type": "array", "items": {"type": "object"}}}
    headers = dict(answer.headers)
    if operation.conditional:
        headers["ETag"] = "Names what you got; give it back in `If-None-Match`."
    described = {"description": answer.says, "content": content}
    if headers:
        described["headers"] = {
            name: {"description": says, "schema": {"type": "string"}}
            for name, says in headers.items()
        }
    return described


def _problem(says: str) -> dict[str, Any]:
    return {
        "description": says,
        "content": {PROBLEM_TYPE: {"schema": {"$ref": REF.format(name="Problem")}}},
    }


def _schemas() -> dict[str, Any]:
    types = [
        answers.ExportedReading,
        Problem,
        *(
            answer.body
            for operation in OPERATIONS
            for answer in operation.answers.values()
            if answer.body is not None
        ),
    ]
    schemas: dict[str, Any] = msgspec.json.schema_components(types, ref_template=REF)[1]
    problem = schemas["Problem"]["properties"]
    problem["type"]["examples"] = [TYPE_PREFIX + kind for kind in KINDS]
    problem["command"] = {"$ref": REF.format(name="Command")}
    return dict(sorted(schemas.items()))
