# SPDX-License-Identifier: BSD-3-Clause
"""The bill of materials of the lock files, and the check for known vulnerabilities."""

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

ROOT = Path(__file__).parents[1]
LOCK_FILES = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))


def bill_of(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "sbom.py", ROOT / "requirements" / name],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def schema(name: str) -> Any:
    folder = files("cyclonedx.schema") / "_res"
    return json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Draft7Validator:
    parts = {}
    for name in ("spdx", "jsf-0.82", "cryptography-defs"):
        part = schema(name)
        parts[part.get("$id", name)] = part
        parts[f"http://cyclonedx.org/schema/{name}.schema.json"] = part
        parts[f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json"] = part
    registry = jsonschema_rs.Registry(list(parts.items()), draft=jsonschema_rs.Draft7)
    return jsonschema_rs.Draft7Validator(schema("bom-1.6"), registry=registry)


@pytest.mark.parametrize("name", LOCK_FILES)
def test_bill_of_materials_is_valid_and_has_every_package(
    name: str, validator: jsonschema_rs.Draft7Validator
) -> None:
    bill = bill_of(name)
    assert [str(error) for error in validator.iter_errors(bill)] == []
    text = (ROOT / "requirements" / name).read_text("utf-8")
    pinned = [
        line.partition("==")[0]
        for line in text.splitlines()
        if "==" in line[:80] and line[0] not in " #"
    ]
    components = bill["components"]
    assert [it["name"] for it in components] == pinned
    assert all(it["hashes"] and it["purl"].startswith("pkg:pypi/") for it in components)
    assert sum(len(it["hashes"]) for it in components) == text.count("--hash=")
    references = {it["bom-ref"] for it in components} | {bill["metadata"]["component"]["bom-ref"]}
    for dependency in bill["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= references
    assert bill_of(name) == bill, "the same for the same file"


def test_invalid_bill_is_refused_by_the_schema(validator: jsonschema_rs.Draft7Validator) -> None:
    bill = bill_of(LOCK_FILES[0])
    bill["components"][0]["type"] = "thing"
    assert not validator.is_valid(bill)


def test_direct_dependencies_are_those_of_the_project() -> None:
    bill = bill_of("run.txt")
    ours = bill["metadata"]["component"]["bom-ref"]
    (needs,) = [it["dependsOn"] for it in bill["dependencies"] if it["ref"] == ours]
    names = {url.removeprefix("pkg:pypi/").partition("@")[0] for url in needs}
    assert {"aiohttp", "aiocoap", "msgspec", "typer", "cryptography"} <= names


def test_check_without_an_answer_reports_that_nothing_is_known() -> None:
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "audit_packages.py", ROOT / "requirements/node.txt"],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "HTTPS_PROXY": nowhere, "https_proxy": nowhere, "NO_PROXY": ""},
        check=False,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "NOT CHECKED" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
