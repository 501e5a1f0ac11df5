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
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2, json_format  # type: ignore[import-untyped]

from devkube.toolchain.stand_ins import serving
from devkube.toolchain.stand_ins.protocol import language_pb2, language_pb2_grpc, plugin_pb2

RUN_PROGRAM = Path(__file__).resolve().with_name("run_program.py")
VERSION = "3.258.0"  # the host whose behaviour this one has

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


class Unusable(Exception):
    """The project's Python can't be used; the text says why and what to do."""


def options_of(info: Any) -> dict[str, Any]:
    """The `options` of the runtime in Pulumi.yaml or PulumiPolicy.yaml."""
    return dict(json_format.MessageToDict(info.options))


def virtualenv_of(root: str, options: Mapping[str, Any]) -> Path | None:
    """The virtual environment that the options name, or None.

    Raises Unusable for a tool that this host doesn't know.
    """
    toolchain = str(options.get("toolchain") or "pip").lower()
    if toolchain not in {"pip", "uv"}:
        raise Unusable(
            f"the runtime option toolchain is {toolchain!r}: this stand-in for Pulumi's Python host knows pip and uv; "
            "use one of these, or install the official Pulumi CLI"
        )
    named = str(options.get("virtualenv") or (".venv" if toolchain == "uv" else ""))
    return Path(root) / named if named else None


def interpreter(root: str, options: Mapping[str, Any]) -> str:
    """The Python that runs a program or plugin of the project in `root`.

    Raises Unusable when the environment that the project names isn't there, or there is no Python
    at all.
    """
    virtualenv = virtualenv_of(root, options)
    if virtualenv:
        python = virtualenv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not python.exists():
            what = "doesn't appear to be a virtual environment" if virtualenv.is_dir() else "doesn't exist"
            raise Unusable(
                f"The 'virtualenv' option in Pulumi.yaml is set to {str(options.get('virtualenv', '.venv'))!r}, but {virtualenv} {what}; "
                "run `pulumi install` to create it and install the project's packages into it."
            )
        return str(python)
    asked = os.environ.get("PULUMI_PYTHON_CMD")
    for name in (asked,) if asked else ("python3", "python"):
        found = shutil.which(name)
        if found:
            return found
    raise Unusable(
        f"no Python on PATH (looked for {asked or 'python3, python'}): install Python or set the virtualenv option in Pulumi.yaml"
    )


def environment_for(python: str, virtualenv: Path | None, additions: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a program: as if its virtual environment were activated.

    `additions` are NAME=value.
    """
    environment = dict(os.environ)
    for addition in additions:
        name, _, value = addition.partition("=")
        environment[name] = value
    if virtualenv:
        environment["VIRTUAL_ENV"] = str(virtualenv)
        environment["PATH"] = os.pathsep.join([str(Path(python).parent), environment.get("PATH", "")])
        environment.pop("PYTHONHOME", None)
    return environment


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
        """
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
            return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {status}")
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
        options = options_of(request.info)
        root = request.info.root_directory or request.directory
        commands: list[list[str]] = []
        try:
            virtualenv = virtualenv_of(root, options)
            if virtualenv and not (virtualenv / "pyvenv.cfg").exists():
                commands.append([sys.executable, "-m", "venv", str(virtualenv)])
            python = (
                str(virtualenv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")) if virtualenv else interpreter(root, options)
            )
        except Unusable as problem:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(problem))
        folder = Path(request.directory)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
        if (folder / "requirements.txt").exists():
            commands.append([*pip, "-r", "requirements.txt"])
        elif (folder / "pyproject.toml").exists():
            commands.append([*pip, "."])
        for command in commands:
            process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            yield from self._stream(process, context, language_pb2.InstallDependenciesResponse)
            if process.wait() != 0:
                context.abort(grpc.StatusCode.UNKNOWN, f"`{' '.join(command)}` failed with exit status {process.returncode}")

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
