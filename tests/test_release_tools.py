# SPDX-License-Identifier: BSD-3-Clause
"""Third-party programs check the files for containers."""

from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.tools import finish

pytestmark = pytest.mark.programs


def test_hadolint_accepts_the_dockerfile() -> None:
    result = finish("hadolint", "--no-color", ROOT / "Dockerfile")
    assert (result.stdout, result.returncode) == ("", 0)


def test_hadolint_refuses_a_bad_one(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN apt-get install curl\nUSER root\n")
    result = finish("hadolint", "--no-color", bad)
    assert result.returncode == 1
    assert {"DL3002", "DL3006", "DL3008"} <= set(result.stdout.split())


def test_compose_files_are_valid_for_the_specification() -> None:
    files = sorted((ROOT / "deploy" / "compose").glob("*.yaml"))
    assert files
    result = finish("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files)
    assert result.returncode == 0, result.stdout


def test_schema_refuses_a_bad_compose_file(tmp_path: Path) -> None:
    bad = tmp_path / "compose.yaml"
    bad.write_text("services:\n  pyaiot:\n    imagine: pyaiot\n")
    result = finish("check-jsonschema", "--builtin-schema", "vendor.compose-spec", bad)
    assert result.returncode == 1
