"""What the program registers for each stack, written down: a state of Pulumi holds just this.

`python -m tests.unit.registrations` writes registrations.json anew, for a change that is meant.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

from tests.unit.mocked_program import Run, kubeconfig_without_a_cluster, run, stack_config

FILE = Path(__file__).with_suffix(".json")
LONGEST_TEXT = 1000  # characters

# A name for each recording, with the stack whose settings it is of, and what is changed in them.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dev": ("dev", {}),
    "aws": ("aws", {}),
    "gcp": ("gcp", {}),
    "dev without canaries": ("dev", {"canary": {"enabled": False}}),
    "dev in a namespace that is there already": ("dev", {"namespace": {"name": "shared", "create": False}}),
    "dev with protection": ("dev", {"protect": True}),
    "dev without services": ("dev", {"services": {}}),
    "dev with limits and a canary of its own": (
        "dev",
        {
            "canary": {
                "image": "registry.example/python:3.13",
                "namespace": "proofs",
                "run": 2,
                "limits": {"database": {"syncP99Ms": 10.5, "syncP50Ms": 2}, "streaming": {"writeMBps": 80}},
            }
        },
    ),
    "dev with parameters of a class": ("dev", {"tiers": {"database": {"nodePath": "/fast"}, "streaming": {}}}),
    "aws without protection": ("aws", {"protect": False}),
    "aws with snapshots and attributes": (
        "aws",
        {
            "tiers": {
                "database": {"type": "gp3", "iops": 3000, "snapshots": {}, "attributes": {"fast": {"iops": 6000, "throughput": 500}}},
                "streaming": {"type": "gp3", "snapshots": {}},
            },
            "services": {
                "postgres": {"tier": "database", "size": "20Gi", "accessMode": "ReadWriteOncePod"},
                "kafka": {"tier": "streaming", "size": "20Gi", "replicas": 2},
            },
        },
    ),
    "gcp with snapshots": (
        "gcp",
        {"tiers": {"database": {"type": "pd-ssd", "snapshots": {}}, "streaming": {"type": "pd-balanced"}}},
    ),
}

# Parts of a request that aren't in a state, or only tell the versions of Pulumi and its plugins
# that are installed.
LEFT_OUT = (
    "type",
    "name",
    "object",
    "properties",
    "version",
    "sourcePosition",
    "stackTrace",
    "hooks",
    "acceptSecrets",
    "acceptResources",
    "supportsPartialValues",
    "supportsResultReporting",
)


def recorded(stack: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """All that the program registers, reads and exports with these settings, by type and name."""
    made = run(stack_config(stack, **changes), stack=stack)
    outputs = {_short(urn): outputs for urn, outputs in made.component_outputs.items()}
    found = {
        f"{each.type}::{each.name}": {
            **_options(each.request),
            "inputs": each.inputs,
            **({} if each.request.custom else {"outputs": outputs[f"{each.type}::{each.name}"]}),
        }
        for each in made.registered
    }
    return {**found, **_read(made), "outputs": made.outputs}


def all_recorded() -> dict[str, Any]:
    """Every case.

    Those of changed settings have only what differs from their stack's own, and null for what isn't
    there.
    """
    found = {name: _plain(recorded(*case)) for name, case in CASES.items()}
    return {name: each if name == CASES[name][0] else _difference(found[CASES[name][0]], each) for name, each in found.items()}


def _read(made: Run) -> dict[str, Any]:
    return {f"{each.type}::{each.name} (read)": {**_options(each), "inputs": MessageToDict(each.properties)} for each in made.read_requests}


def _options(request: Any) -> dict[str, Any]:
    """Parent, provider, dependencies and all other options, as far as they are set."""
    options = {
        key: value for key, value in MessageToDict(request).items() if key not in LEFT_OUT and value not in (None, {}, [], "", False)
    }
    between = {key: [_short(urn) for urn in sorted(each["urns"])] for key, each in options.pop("propertyDependencies", {}).items() if each}
    options |= {"propertyDependencies": between} if between else {}
    for key in ("parent", "provider"):
        options |= {key: _short(options[key])} if key in options else {}
    if "providers" in options:
        options["providers"] = {package: _short(urn) for package, urn in options["providers"].items()}
    if "dependencies" in options:
        options["dependencies"] = sorted(map(_short, options["dependencies"]))
    return options


def _short(urn: str) -> str:
    """A URN as type and name: `urn:pulumi:dev::project::parent$type::name` is `type::name`."""
    _, _, kinds, name = urn.split("::", 3)
    return f"{kinds.rpartition('$')[2]}::{name}"


def _plain(value: Any) -> Any:
    """As JSON has it. The program has ended, so every Output has its value."""
    loop = asyncio.new_event_loop()
    try:
        return _with_hashes(json.loads(json.dumps(value, default=lambda output: loop.run_until_complete(output.future()))))
    finally:
        loop.close()


def _with_hashes(value: Any) -> Any:
    """The same with the hash of a long text, such as the probe's source, in its place."""
    if isinstance(value, dict):
        return {key: _with_hashes(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_hashes(each) for each in value]
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}" if isinstance(value, str) and len(value) > LONGEST_TEXT else value


def _difference(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What `other` has that `base` doesn't, key by key; null for what it doesn't have."""
    return {
        key: _difference(base[key], other[key]) if isinstance(base.get(key), dict) and isinstance(other.get(key), dict) else other.get(key)
        for key in sorted({*base, *other})
        if base.get(key) != other.get(key)
    }


def main() -> None:
    """Write the file anew."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KUBECONFIG"] = str(kubeconfig_without_a_cluster(Path(folder)))
        FILE.write_text(json.dumps(all_recorded(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
