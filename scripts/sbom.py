#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the software bill of materials (CycloneDX 1.6, JSON) of a lock file to standard output.

Usage: sbom.py [FILE]

FILE is a file of scripts/lock; by default requirements/run.txt, what a user installs. Every package
has its version, its package URL, its hashes, the condition under which it is installed and the
packages that require it. No index is queried, so the output is the same for the same file.
"""

import json
import re
import sys
import uuid
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
OURS: Final = "pyaiot"
_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*(.*?))?\s*\\?$")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA: Final = re.compile(r"#\s+(?:via\s+)?([A-Za-z0-9._-]+)(?: \(.*\))?$")


@dataclass
class Pinned:
    """A package of a lock file."""

    name: str
    version: str
    marker: str
    hashes: list[str] = field(default_factory=list)
    required_by: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The package URL, which identifies it."""
        return f"pkg:pypi/{normalized(self.name)}@{self.version}"


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(text: str) -> list[Pinned]:
    """The packages of a lock file, in order."""
    packages: list[Pinned] = []
    for line in text.splitlines():
        pin = _PIN.match(line)
        if pin is not None:
            packages.append(Pinned(pin[1], pin[2], (pin[3] or "").rstrip(" \\")))
        elif packages and (digest := _HASH.search(line)):
            packages[-1].hashes.append(digest[1])
        elif packages and (via := _VIA.match(line.strip())) and via[1] not in ("via", "-c"):
            packages[-1].required_by.append(normalized(via[1]))
    return packages


def document(text: str, version: str) -> dict[str, Any]:
    """The bill of materials of a lock file, for this version of ours."""
    packages = read_lock(text)
    ours = f"pkg:pypi/{OURS}@{version}"
    urls = {normalized(it.name): it.url for it in packages} | {OURS: ours}
    needs: dict[str, list[str]] = {url: [] for url in urls.values()}
    for it in packages:
        for name in sorted(set(it.required_by)):
            if name in urls:
                needs[urls[name]].append(it.url)
    digest = sha256(text.encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # Identical for the same file.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": OURS,
                "version": version,
                "purl": ours,
                "licenses": [{"license": {"id": "BSD-3-Clause"}}],
            }
        },
        "components": [_component(it) for it in packages],
        "dependencies": [
            {"ref": url, "dependsOn": sorted(others)} for url, others in sorted(needs.items())
        ],
    }


def _component(it: Pinned) -> dict[str, Any]:
    # A lock file has the hashes of all wheels of a version; one of them is installed.
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": it.url,
        "name": it.name,
        "version": it.version,
        "purl": it.url,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in sorted(set(it.hashes))],
    }
    if it.marker:
        component["properties"] = [{"name": "pyaiot:marker", "value": it.marker}]
    return component


def own_version() -> str:
    text = (ROOT / "src" / OURS / "__init__.py").read_text("utf-8")
    found = re.search(r'__version__ = "([^"]+)"', text)
    if found is None:
        raise SystemExit(f"src/{OURS}/__init__.py has no version")
    return found[1]


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "requirements" / "run.txt"
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise SystemExit(f"{path} cannot be read: {error.strerror}") from error
    json.dump(document(text, own_version()), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
