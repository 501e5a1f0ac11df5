"""Looks for the real private keys of a cluster in files and texts: a pattern would miss a key in a
form that nobody thought of.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from devkube.cluster.layout import Layout


def secrets_of(layout: Layout, *kubeconfigs: Path) -> dict[str, list[bytes]]:
    """Every private key and token of a cluster and of these kubeconfigs, by where it is: pieces of
    each form in which it may be copied.
    """
    found = {str(path): _pem(path.read_text()) for path in layout.pki.rglob("*.key")}
    for path in [*layout.kubeconfig("admin").parent.glob("*.conf"), *kubeconfigs]:
        for user in yaml.safe_load(path.read_text())["users"]:
            data, token = user["user"].get("client-key-data"), user["user"].get("token")
            if data:
                found[f"{path} client-key-data"] = _pem(base64.b64decode(data).decode())
            if token:
                found[f"{path} token"] = [token.encode()]
    return found


def _pem(text: str) -> list[bytes]:
    """Of a key in PEM: its lines, a line's bytes, and a piece of the whole in base64, as
    kubeconfigs have it.
    """
    lines = [line for line in text.splitlines() if line and not line.startswith("-----")]
    whole = base64.b64encode(text.encode()).decode()
    key = base64.b64decode("".join(lines))
    # Past the header, which is the same in every key.
    return [*(line.encode() for line in lines if len(line) > 24), whole[48:112].encode(), key[8:40]]


def leaks(secrets: Mapping[str, list[bytes]], places: Iterable[Path], texts: Mapping[str, str] | None = None) -> list[str]:
    """Which secret is in which file below these folders (or of these files), or in which text."""
    pattern = re.compile(b"|".join(re.escape(piece) for pieces in secrets.values() for piece in pieces))
    contents = {name: text.encode() for name, text in (texts or {}).items()}
    found = []
    for place in places:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file() and not path.is_symlink():
                contents[str(path)] = path.read_bytes()
    for name, content in contents.items():
        match = pattern.search(content)
        if match:
            found += [f"{where} in {name}" for where, pieces in secrets.items() if match[0] in pieces]
    return found
