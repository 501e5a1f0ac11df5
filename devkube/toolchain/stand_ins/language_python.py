"""A stand-in for Pulumi's Python language host, on the gRPC stubs of the `pulumi` package.

It runs programs and plugins (policy packs too) in the interpreter that the project or pack chooses:
the `virtualenv` option, relative to where Pulumi.yaml or PulumiPolicy.yaml is; else
`PULUMI_PYTHON_CMD`; else python3 or python on PATH. That, and what a program's exit status means,
is as in the official host (pulumi/pulumi, sdk/python). What it does not do: generate code (`pulumi
convert`, `pulumi package add`), debuggers, poetry.
"""

# ruff: noqa: ANN401, ARG002 - the signatures are gRPC's, and its generated messages have no types
from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]

from devkube.toolchain.stand_ins import serving
from devkube.toolchain.stand_ins.environments import (
    InstallationFailed,
    Unusable,
    environment_for,
    installation,
    interpreter,
    is_missing,
    options_of,
    python_in,
    virtualenv_of,
)
from devkube.toolchain.stand_ins.protocol import engine_pb2, engine_pb2_grpc, language_pb2, language_pb2_grpc, plugin_pb2
from devkube.versions import DOWNLOADS, PULUMI

RUN_PROGRAM = Path(__file__).resolve().with_name("run_program.py")
VERSION = DOWNLOADS[PULUMI]  # the host whose behaviour this one has

SHOWN_TO_THE_USER = 32  # see run_program.py

# Prints the installed packages: the plugins that Pulumi's own name in their pulumi-plugin.json, and
# all names and versions.
_LIST_PACKAGES = """
import importlib.metadata as m, json
plugins, packages = [], []
for d in m.distributions():
    about = d.metadata
    packages.append({"name": about["Name"], "version": about["Version"]})
    if not any("pulumi-plugin.json" in (d.read_text(name) or "") for name in ("RECORD", "installed-files.txt", "SOURCES.txt")):
        continue  # going through the files of all packages takes as long as everything else here
    for f in d.files or ():
        if f.name == "pulumi-plugin.json" and len(f.parts) == 2:
            p = json.loads(f.read_text())
            if p.get("resource"):
                plugins.append({"name": p.get("name") or about["Name"].removeprefix("pulumi-"),
                                "version": p.get("version") or about["Version"], "server": p.get("server", "")})
print(json.dumps({"plugins": plugins, "packages": packages}))
"""


def on_path(plugin: str) -> bool:
    """Whether the engine finds the resource plugin on PATH, and so uses it whatever its version."""
    ignored = os.environ.get("PULUMI_IGNORE_AMBIENT_PLUGINS", "").lower() in {"1", "true"}
    return not ignored and shutil.which(f"pulumi-resource-{plugin}") is not None


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The calls that the engine makes to run Python."""

    def __init__(self, engine: str, children: serving.Children) -> None:
        self.engine = engine
        self.children = children

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Sent when the engine attaches to a host that runs already."""
        self.engine = request.engine_address or self.engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Which version this host behaves as."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetRequiredPlugins(self, request: Any, context: grpc.ServicerContext) -> Any:
        """What older engines ask."""
        return language_pb2.GetRequiredPluginsResponse(plugins=[])

    def GetRequiredPackages(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The plugins that the installed Pulumi packages need, without those on PATH.

        The engine takes those from there in any case, but `pulumi install` would try to download
        them first, and fail here.
        The engine asks this before it runs a program: a virtual environment that is missing is made
        now, with what the project requires in it.
        """
        self._make_virtualenv(request.info, context)
        listed = self._packages(request.info, context)
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    name=plugin["name"], kind="resource", version=f"v{plugin['version'].removeprefix('v')}", server=plugin["server"]
                )
                for plugin in listed["plugins"]
                if not on_path(plugin["name"])
            ]
        )

    def GetProgramDependencies(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The installed packages, for `pulumi about`."""
        listed = self._packages(request.info, context)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=package["name"], version=package["version"]) for package in listed["packages"]]
        )

    def About(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The interpreter, for `pulumi about`."""
        python = self._interpreter(request.info, context)
        said = subprocess.run([python, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
        return language_pb2.AboutResponse(executable=python, version=said.removeprefix("Python").strip(), metadata={"host": "stand-in"})

    def RuntimeOptionsPrompts(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Asked by `pulumi new`: there is nothing to choose here."""
        return language_pb2.RuntimeOptionsResponse()

    def Template(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Called by `pulumi new` after it has copied a template."""
        return language_pb2.TemplateResponse()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The run is to end now."""
        self.children.end()
        return empty_pb2.Empty()

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a Pulumi program to its end."""
        if request.attach_debugger:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this stand-in for Pulumi's Python host can't attach a debugger")
        python = self._interpreter(request.info, context)
        options = {
            "monitor": request.monitor_address,
            "engine": self.engine,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd,
            "dry_run": str(request.dryRun).lower(),
            "parallel": str(request.parallel),
            "organization": request.organization,
        }
        flags = [text for name, value in options.items() if value for text in (f"--{name}", value)]
        program = request.info.entry_point or request.program or "."
        environment = environment_for(python, virtualenv_of(request.info.root_directory, options_of(request.info)))
        environment["PULUMI_CONFIG"] = json.dumps(dict(request.config))
        environment["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(list(request.configSecretKeys))
        process = subprocess.Popen(
            [python, "-u", str(RUN_PROGRAM), *flags, program, *request.args],
            cwd=request.info.program_directory or request.pwd or None,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        status = self._wait(process, context)
        if status == SHOWN_TO_THE_USER:
            return language_pb2.RunResponse(bail=True)
        if status != 0:
            ended = status if status > 0 else -1  # by a signal, as Go counts it
            return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {ended}")
        return language_pb2.RunResponse()

    def RunPlugin(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Run a plugin that is written in Python, with its output streamed: a policy pack, or a
        provider."""
        python = self._interpreter(request.info, context)
        folder = request.info.program_directory or request.program
        if request.kind == "analyzer":
            command = [python, "-u", "-m", "pulumi.policy", *request.args, folder]
        else:
            command = [python, "-u", folder, *request.args]
        virtualenv = virtualenv_of(request.info.root_directory, options_of(request.info))
        process = subprocess.Popen(
            command,
            cwd=request.pwd or None,
            env=environment_for(python, virtualenv, request.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        yield from self._stream(process, context, language_pb2.RunPluginResponse)
        yield language_pb2.RunPluginResponse(exitcode=process.wait())

    def InstallDependencies(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Make the project's virtual environment where it is missing, and install what the project
        requires (`pulumi install`)."""
        root = request.info.root_directory or request.directory
        folder = Path(request.directory)
        try:
            virtualenv = virtualenv_of(root, options_of(request.info))
            python = str(python_in(virtualenv)) if virtualenv else interpreter(root, options_of(request.info))
            for command in installation(virtualenv, python, folder):
                yield from self._installed(command, folder, context, language_pb2.InstallDependenciesResponse)
        except Unusable as problem:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(problem))
        except InstallationFailed as problem:
            context.abort(grpc.StatusCode.UNKNOWN, str(problem))

    def _make_virtualenv(self, info: Any, context: grpc.ServicerContext) -> None:
        """Make the project's virtual environment if it is missing; the engine shows what is said
        meanwhile."""
        folder = Path(info.program_directory or info.root_directory)
        try:
            virtualenv = virtualenv_of(info.root_directory, options_of(info))
            if virtualenv is None or not is_missing(virtualenv):
                return
            with grpc.insecure_channel(self.engine, options=serving.CHANNEL_OPTIONS) as channel:
                engine = engine_pb2_grpc.EngineStub(channel)
                for command in installation(virtualenv, str(python_in(virtualenv)), folder):
                    for said in self._installed(command, folder, context, language_pb2.InstallDependenciesResponse):
                        line = (said.stdout or said.stderr).decode(errors="replace").rstrip()
                        engine.Log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=line, ephemeral=True))
        except Unusable as problem:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(problem))
        except InstallationFailed as problem:
            context.abort(grpc.StatusCode.UNKNOWN, str(problem))

    def _installed(self, command: list[str], folder: Path, context: grpc.ServicerContext, response: Any) -> Iterator[Any]:
        """Run a command of `installation`, its output as messages; raises InstallationFailed with
        its last lines."""
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        last: deque[str] = deque(maxlen=8)
        for message in self._stream(process, context, response):
            last += (message.stdout or message.stderr).decode(errors="replace").splitlines()
            yield message
        if process.wait() != 0:
            said = "".join(f"\n  {line}" for line in list(last)[-8:])
            raise InstallationFailed(f"`{' '.join(command)}` failed with exit status {process.returncode}:{said}")

    def _interpreter(self, info: Any, context: grpc.ServicerContext) -> str:
        try:
            return interpreter(info.root_directory, options_of(info))
        except Unusable as problem:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(problem))
            raise

    def _packages(self, info: Any, context: grpc.ServicerContext) -> dict[str, Any]:
        python = self._interpreter(info, context)
        asked = subprocess.run([python, "-c", _LIST_PACKAGES], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if asked.returncode != 0:
            context.abort(grpc.StatusCode.UNKNOWN, f"{python} could not list its packages:\n{asked.stderr}")
        return dict(json.loads(asked.stdout))

    def _wait(self, process: subprocess.Popen[bytes], context: grpc.ServicerContext) -> int:
        """Wait for `process`; it ends early when the engine gives the call up."""
        self.children.add(process)
        if not context.add_callback(lambda: serving.stop(process) if process.poll() is None else None):
            serving.stop(process)  # given up already
        try:
            return process.wait()
        finally:
            self.children.remove(process)

    def _stream(self, process: subprocess.Popen[bytes], context: grpc.ServicerContext, response: Any) -> Iterator[Any]:
        """What `process` writes, as messages of the type `response`, until it closes both of its
        outputs."""
        self.children.add(process)
        if not context.add_callback(lambda: serving.stop(process) if process.poll() is None else None):
            serving.stop(process)
        messages: SimpleQueue[Any] = SimpleQueue()

        def read(name: str) -> None:
            while data := os.read(getattr(process, name).fileno(), 65536):
                messages.put(response(**{name: data}))
            messages.put(None)

        readers = [threading.Thread(target=read, args=(name,), daemon=True) for name in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        try:
            for _ in readers:
                while (message := messages.get()) is not None:
                    yield message
        finally:
            self.children.remove(process)


def main() -> None:
    """Serve the engine that started this program."""
    children = serving.Children()
    host = LanguageHost(serving.engine_address(), children)
    serving.serve(lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server), children)
