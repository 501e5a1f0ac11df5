"""A stand-in for the official command provider (pulumi/pulumi-command): its resource
`command:local:Command`, nothing else.

The contract is the official one (provider/pkg/provider/local): `create` runs when the resource is
created, `update` (or, without one, `create` again) when an input has changed, `delete` when it is
deleted, each with the inputs and the results of the state; a changed trigger replaces the resource;
nothing runs in a preview; stdout and stderr lose one trailing newline.
"""

# ruff: noqa: ANN401, ARG002 - the signatures are gRPC's, and its generated messages have no types
from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2, json_format, struct_pb2  # type: ignore[import-untyped]

from devkube.toolchain.stand_ins import serving
from devkube.toolchain.stand_ins.protocol import UNKNOWN, engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc
from devkube.versions import COMMAND as COMMAND_PLUGIN
from devkube.versions import DOWNLOADS

VERSION = DOWNLOADS[COMMAND_PLUGIN]  # of the provider whose contract this is
COMMAND = "command:local:Command"

# How secrets and other special values are written in property values (pulumi/pulumi,
# sdk/go/common/resource/properties.go).
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

TEXTS = ("create", "update", "delete", "dir", "stdin")
LISTS = ("interpreter", "assetPaths", "archivePaths")
UNSUPPORTED = ("assetPaths", "archivePaths")
LOGGING = ("stdout", "stderr", "stdoutAndStderr", "none")
INPUTS = (*TEXTS, *LISTS, "environment", "triggers", "logging", "addPreviousOutputInEnv")


class CommandFailed(Exception):
    """A command could not be run, or exited with another status than 0.

    The text has the status, the command and its output.
    """


def plain(value: Any) -> Any:
    """A property value without the wrappers of secrets and outputs.

    An output that is not known yet is the unknown value.
    """
    if isinstance(value, dict):
        if value.get(SIGNATURE) in (SECRET, OUTPUT):
            return plain(value.get("value", UNKNOWN))
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def unknown(value: Any) -> bool:
    """Whether `value` is not known yet, or has a part that isn't."""
    if isinstance(value, dict):
        return any(unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(unknown(each) for each in value)
    return bool(value == UNKNOWN)


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Property values as JSON values, their wrappers kept."""
    return dict(json_format.MessageToDict(struct))


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """The way back."""
    struct = struct_pb2.Struct()
    json_format.ParseDict(dict(values), struct)
    return struct


def problems(inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the inputs of a Command, as (property, reason)."""
    found: list[tuple[str, str]] = []

    def wrong(name: str, should: str) -> None:
        found.append((name, f"{name} is {json.dumps(inputs[name])}: it must be {should}"))

    for name, value in inputs.items():
        if name.startswith("__") or value is None or unknown(value):
            continue
        if name not in INPUTS:
            found.append((name, f"{name} is not an input of {COMMAND}; it has {', '.join(INPUTS)}"))
        elif name in UNSUPPORTED:
            found.append((name, f"{name} needs the official command plugin (`pulumi plugin install resource command {VERSION}`)"))
        elif name in TEXTS and not isinstance(value, str):
            wrong(name, "a text")
        elif name in LISTS and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
            wrong(name, "a list of texts")
        elif name == "environment" and not (isinstance(value, dict) and all(isinstance(each, str) for each in value.values())):
            wrong(name, "a mapping from names to texts")
        elif name == "triggers" and not isinstance(value, list):
            wrong(name, "a list")
        elif name == "logging" and value not in LOGGING:
            wrong(name, f"one of {', '.join(LOGGING)}")
        elif name == "addPreviousOutputInEnv" and not isinstance(value, bool):
            wrong(name, "true or false")
    return found


class CommandProvider(provider_pb2_grpc.ResourceProviderServicer):
    """The calls that the engine makes for `command:local:Command`."""

    def __init__(self, engine: engine_pb2_grpc.EngineStub, children: serving.Children) -> None:
        self.engine = engine
        self.children = children

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Secrets come and go marked as such."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False, accept_outputs=False)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Which version's contract this is."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Only what the engine asks of every provider; the types are in the pip package."""
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": "command", "version": VERSION}))

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The provider has no settings."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The provider has no settings."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        """What this provider understands.

        With previews it can say which outputs an update will change.
        """
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=False, acceptOutputs=False)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Check the inputs, and add the default."""
        kind = _type_of(request.urn)
        if kind != COMMAND:
            reason = f"{kind} needs the official command plugin (`pulumi plugin install resource command {VERSION}`)"
            return provider_pb2.CheckResponse(failures=[provider_pb2.CheckFailure(reason=reason)])
        inputs = from_struct(request.news)
        failures = [provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in problems(plain(inputs))]
        inputs.setdefault("addPreviousOutputInEnv", True)
        return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=failures)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Which inputs have changed; a changed trigger means a new resource."""
        olds, news = plain(from_struct(request.olds)), plain(from_struct(request.news))
        changed = [name for name in INPUTS if olds.get(name) != news.get(name) and name not in request.ignoreChanges]
        replaces = [name for name in changed if name == "triggers"]
        kinds = provider_pb2.PropertyDiff
        detailed = {}
        for name in changed:
            kind = "ADD" if olds.get(name) is None else "DELETE" if news.get(name) is None else "UPDATE"
            detailed[name] = kinds(kind=kinds.Kind.Value(f"{kind}_REPLACE" if name in replaces else kind))
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=replaces,
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run `create`."""
        inputs = from_struct(request.properties)
        name = request.urn.rpartition("::")[2]
        results = self._results(inputs, ("create",), {}, request, context)
        return provider_pb2.CreateResponse(id=f"{name}{secrets.token_hex(4)}", properties=to_struct({**inputs, **results}))

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run `update`, or `create` again where there is none."""
        inputs = from_struct(request.news)
        results = self._results(inputs, ("update", "create"), from_struct(request.olds), request, context)
        return provider_pb2.UpdateResponse(properties=to_struct({**inputs, **results}))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run `delete` as it is in the state."""
        state = from_struct(request.properties)
        command = plain(state).get("delete")
        if command is not None:
            self._run(command, plain(state), plain(state), request.urn, context)
        return empty_pb2.Empty()

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        """A command has nothing to look at: a refresh finds what the state says."""
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        """`command:local:run` is not here."""
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"{request.tok} needs the official command plugin (`pulumi plugin install resource command {VERSION}`)",
        )

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        """End the commands that are running."""
        self.children.end()
        return empty_pb2.Empty()

    def _results(
        self,
        inputs: Mapping[str, Any],
        choices: tuple[str, ...],
        previous: Mapping[str, Any],
        request: Any,
        context: grpc.ServicerContext,
    ) -> dict[str, Any]:
        """stdout and stderr of the first of `choices` that there is.

        Unknown in a preview; the previous ones where there is none.

        They are no secrets, whatever the inputs are: a program that prints some says
        `additional_secret_outputs`.
        """
        given = plain(inputs)
        command = next((given[name] for name in choices if given.get(name) is not None), None)
        if command is None:
            return {name: plain(previous.get(name, "")) for name in ("stdout", "stderr")}
        if request.preview:
            return {"stdout": UNKNOWN, "stderr": UNKNOWN}
        stdout, stderr = self._run(command, given, plain(previous), request.urn, context)
        return {"stdout": stdout, "stderr": stderr}

    def _run(
        self, command: str, inputs: Mapping[str, Any], previous: Mapping[str, Any], urn: str, context: grpc.ServicerContext
    ) -> tuple[str, str]:
        try:
            return Execution(self.engine, self.children, command, inputs=inputs, previous=previous, urn=urn).run()
        except CommandFailed as problem:
            context.abort(grpc.StatusCode.UNKNOWN, str(problem))
            raise


class Execution:
    """One run of one command."""

    def __init__(
        self,
        engine: engine_pb2_grpc.EngineStub,
        children: serving.Children,
        command: str,
        *,
        inputs: Mapping[str, Any],
        previous: Mapping[str, Any],
        urn: str,
    ) -> None:
        self.engine = engine
        self.children = children
        self.command = command
        self.inputs = inputs
        self.urn = urn
        self.environment = {**os.environ, **(inputs.get("environment") or {})}
        if inputs.get("addPreviousOutputInEnv") is not False:
            for variable, name in (("PULUMI_COMMAND_STDOUT", "stdout"), ("PULUMI_COMMAND_STDERR", "stderr")):
                if previous.get(name):
                    self.environment[variable] = previous[name]
        # Both streams in the order in which they came, for the error message.
        self.all_output: list[bytes] = []
        self.lock = threading.Lock()

    def run(self) -> tuple[str, str]:
        """Run the command to its end; gives stdout and stderr. Raises CommandFailed."""
        shell = ["cmd", "/C"] if os.name == "nt" else ["/bin/sh", "-c"]
        arguments = [*(self.inputs.get("interpreter") or shell), self.command]
        folder = self.inputs.get("dir")
        if folder and not Path(folder).is_dir():
            raise CommandFailed(f"chdir {folder}: no such directory: running {json.dumps(self.command)}")
        stdin = self.inputs.get("stdin") or ""
        try:
            process = subprocess.Popen(
                arguments,
                cwd=folder or None,
                env=self.environment,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as problem:
            raise CommandFailed(f"exec: {json.dumps(arguments[0])}: {problem.strerror}: running {json.dumps(self.command)}") from None
        self.children.add(process)
        outputs: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        logged = self.inputs.get("logging")
        readers = [
            threading.Thread(target=self._read, args=(getattr(process, name), kept, logged in (None, name, "stdoutAndStderr")), daemon=True)
            for name, kept in outputs.items()
        ]
        for reader in readers:
            reader.start()
        if process.stdin:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(stdin.encode())
        for reader in readers:
            reader.join()
        status = process.wait()
        self.children.remove(process)
        if status != 0:
            ended = f"exit status {status}" if status > 0 else f"signal: {-status}"
            said = b"".join(self.all_output).decode(errors="replace")
            raise CommandFailed(f"{ended}: running {json.dumps(self.command)}:\n{said}")
        stdout, stderr = (b"".join(kept).decode(errors="replace").removesuffix("\n") for kept in outputs.values())
        return stdout, stderr

    def _read(self, stream: IO[bytes], kept: list[bytes], logged: bool) -> None:
        for line in stream:
            kept.append(line)
            with self.lock:
                self.all_output.append(line)
            if logged:
                self._log(line.decode(errors="replace").rstrip("\r\n"))

    def _log(self, line: str) -> None:
        message = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=line, urn=self.urn, ephemeral=True)
        # The engine is going: the command's result still counts.
        with contextlib.suppress(grpc.RpcError):
            self.engine.Log(message)


def _type_of(urn: str) -> str:
    """The type of the resource: urn:pulumi:<stack>::<project>::<parents' types$type>::<name>."""
    return urn.split("::")[2].rpartition("$")[2]


def main() -> None:
    """Serve the engine that started this program."""
    address = serving.engine_address()
    children = serving.Children()
    provider = CommandProvider(engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=serving.CHANNEL_OPTIONS)), children)
    serving.serve(lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server), children)
