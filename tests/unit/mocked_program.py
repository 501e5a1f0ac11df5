"""Runs the whole program on Pulumi's mocks and records what it asks the engine for."""

from __future__ import annotations

import contextvars
import json
import runpy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks

ROOT = Path(__file__).resolve().parent.parent.parent
CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
NAMESPACE = "kubernetes:core/v1:Namespace"
QUOTA = "kubernetes:core/v1:ResourceQuota"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
SNAPSHOT_CLASS = "kubernetes:snapshot.storage.k8s.io/v1:VolumeSnapshotClass"
ATTRIBUTES_CLASS = "kubernetes:storage.k8s.io/v1:VolumeAttributesClass"
COMMAND = "command:local:Command"
TIER_CANARY = "storage-tiers:index:TierCanary"
PROVEN = {"verdict": "proven", "reason": "", "fileSystem": {"type": "ext4", "bytes": 2**40, "freeBytes": 2**39}}
PROVIDER = "pulumi:providers:kubernetes"


def dev_config(**changes: Any) -> dict[str, str]:
    """The config of Pulumi.dev.yaml as Pulumi's runtime has it.

    `changes` replace top-level keys, None takes one away.
    """
    return stack_config("dev", **changes)


def stack_config(stack: str, **changes: Any) -> dict[str, str]:
    """The config of a committed stack as Pulumi's runtime has it.

    `changes` replace top-level keys, None takes one away.
    """
    document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
    config = {**document["config"], **{f"storage-tiers:{key}": value for key, value in changes.items()}}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items() if value is not None}


def kubeconfig_without_a_cluster(folder: Path) -> Path:
    """A kubeconfig with the committed stacks' contexts and a cluster that doesn't answer."""
    file = folder / "kubeconfig"
    contexts = [yaml.safe_load(stack_config(stack)["storage-tiers:cluster"])["context"] for stack in ("dev", "aws", "gcp")]
    content = {
        "contexts": [{"name": name, "context": {"cluster": "none", "user": "nobody"}} for name in contexts],
        "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "nobody", "user": {}}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


@dataclass(frozen=True)
class Registered:
    """A resource as the program registered it: `request` is what went to the engine, options
    included.
    """

    type: str
    name: str
    inputs: dict[str, Any]
    request: Any


class _Echo(Mocks):
    def __init__(self, before: Mapping[str, Any], canaries: Mapping[str, Mapping[str, Any]]) -> None:
        self.before = before
        self.canaries = canaries

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        if args.typ == TIER_CANARY:  # a component has the outputs of the run before until it registers its own
            return None, dict(self.canaries.get(args.name, {}))
        outputs = dict(args.inputs)
        if args.typ == COMMAND and "create" in outputs:  # what it would print
            outputs["stdout"] = json.dumps(PROVEN)
        return f"{args.name}-id", outputs

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        assert args.token == "pulumi:pulumi:readStackOutputs"
        return {"outputs": dict(self.before)}, []


class _Recorder(MockMonitor):
    def __init__(self, before: Mapping[str, Any], canaries: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(_Echo(before, canaries))
        self.registered: list[Registered] = []
        self.read: list[tuple[str, str]] = []
        self.read_requests: list[Any] = []
        self.component_outputs: dict[str, dict[str, Any]] = {}

    def RegisterResource(self, request: Any) -> Any:
        if request.type != "pulumi:pulumi:Stack":
            self.registered.append(Registered(request.type, request.name, rpc.deserialize_properties(request.object), request))
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def ReadResource(self, request: Any) -> Any:
        self.read.append((request.type, request.id))
        self.read_requests.append(request)
        return super().ReadResource(request)  # type: ignore[no-untyped-call]

    def RegisterResourceOutputs(self, request: Any) -> Any:
        self.component_outputs[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Run:
    """What a run of the program declared, read and exported.

    `read_requests` are the requests to the engine behind `read`. `component_outputs` are by URN.
    """

    registered: list[Registered]
    read: list[tuple[str, str]]
    outputs: dict[str, Any] = field(default_factory=dict)
    read_requests: list[Any] = field(default_factory=list)
    component_outputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, type_: str) -> dict[str, Registered]:
        """The resources of a type by their Kubernetes name, or else by their Pulumi name."""
        found = [resource for resource in self.registered if resource.type == type_]
        return {resource.inputs.get("metadata", {}).get("name", resource.name): resource for resource in found}


def run(
    config: Mapping[str, str],
    stack: str = "dev",
    before: Mapping[str, Any] | None = None,
    noted: Mapping[str, Any] | None = None,
    canaries: Mapping[str, Mapping[str, Any]] | None = None,
) -> Run:
    """Run `__main__.py` with this config, after an `up` with the outputs `before` that has noted of
    tiers by name on which cluster they were proven. `canaries` are all outputs of their components.

    Raises what the program raises.
    """
    last = canaries or {tier: {"provenOn": on} for tier, on in (noted or {}).items()}

    def isolated() -> Run:
        recorder = _Recorder(before or {}, last)
        set_mocks(recorder.mocks, project="storage-tiers", stack=stack, preview=False, monitor=recorder, organization="organization")
        pulumi.runtime.set_all_config(dict(config))
        outputs: dict[str, Any] = {}
        original, pulumi.export = pulumi.export, outputs.__setitem__  # type: ignore[assignment]

        @pulumi.runtime.test  # type: ignore[untyped-decorator]
        def program() -> None:
            runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

        try:
            program()
        finally:
            pulumi.export = original
        return Run(recorder.registered, recorder.read, outputs, recorder.read_requests, recorder.component_outputs)

    return contextvars.copy_context().run(isolated)
