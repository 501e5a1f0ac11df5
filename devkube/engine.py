"""Finds or gets the Pulumi engine and the plugins that the program needs.

Each part is taken from the first place that has it in a good version: the user's own (PATH, and for
plugins ~/.pulumi/plugins), the official download through the Pulumi SDK's installer, what is built
here from Go modules, and for the two plugins that no package registry has, a stand-in. Whoever has
the official CLI never gets anything else.
"""

from __future__ import annotations

import functools
import http.client
import os
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devkube import paths, proxies
from devkube.programs import ended_with
from devkube.progress import say, step
from devkube.toolchain import build
from devkube.versions import BUILT, COMMAND, DOWNLOADS, GOOD, KUBERNETES, LANGUAGE, PULUMI, version_of

Origin = Literal["PATH", "official download", "built here", "stand-in"]

EXE = ".exe" if os.name == "nt" else ""


@dataclass(frozen=True)
class Part:
    """One program of the engine: `path` is its executable, `version` without a leading v (empty
    where it says none)."""

    name: str
    version: str
    origin: Origin
    path: Path


@dataclass(frozen=True)
class Engine:
    """All parts, and the folders that go in front of PATH for them, in this order (none when all
    are the user's own)."""

    parts: tuple[Part, ...]
    folders: tuple[Path, ...]

    def is_stand_in(self, name: str) -> bool:
        """Whether the part of this name is this project's stand-in, and not the official one."""
        return any(part.name == name and part.origin == "stand-in" for part in self.parts)

    def clean_environment(self) -> dict[str, str]:
        """For a run that finds nothing of the user's own backend, passphrase, clusters or
        credentials, but the plugins in PULUMI_HOME.

        A kubeconfig and a backend are the caller's to add.
        """
        own = ("PULUMI_", "KUBE", "AWS_", "GOOGLE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own) or name == "PULUMI_HOME"}
        return {
            **kept,
            "PATH": os.pathsep.join([*map(str, self.folders), str(paths.SCRIPTS), os.environ.get("PATH", "")]),
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }


DOWNLOAD_HOST = "https://get.pulumi.com/install.sh"  # what the SDK's installer asks first
_REACHED_WITHIN = 8.0  # seconds in which that must answer, or downloads count as impossible here
_DOWNLOAD_LIMIT = 600.0  # seconds for a download that does come


def ensure_engine() -> Engine:
    """Every part of the engine, got or built first where it is missing; shows its progress.

    Takes well under a second when all is there. Raises MachineError when a part can be had in no
    way.
    """
    pulumi = _pulumi()
    parts = [pulumi, _language(pulumi), _plugin(pulumi, KUBERNETES), _plugin(pulumi, COMMAND)]
    stand_ins = [part.name for part in parts if part.origin == "stand-in"]
    # One of an earlier run must not hide the official one.
    for name in {LANGUAGE, COMMAND} - set(stand_ins):
        _launcher_path(name).unlink(missing_ok=True)
    if stand_ins:
        say(f"{' and '.join(stand_ins)}: stand-ins of this project, because the official ones can't be downloaded here.")
    folders = dict.fromkeys(part.path.parent for part in parts if _needs_folder(part))
    return Engine(tuple(parts), tuple(folders))


def to_build() -> list[build.Name]:
    """What `ensure_engine` would build now: the parts that can't be downloaded, and that neither
    the user nor an earlier run has got."""
    parts: tuple[tuple[str, build.Name], ...] = ((PULUMI, "pulumi"), (KUBERNETES, "kubernetes-provider"))
    return [name for part, name in parts if not find_own(part) and not kept(part) and why_no_download()]


def _needs_folder(part: Part) -> bool:
    """Whether the engine finds the part only when its folder is on PATH: plugins in its own plugin
    folder it finds by itself."""
    return part.origin != "PATH" and not part.path.is_relative_to(plugin_home())


def plugin_home() -> Path:
    """Where the engine keeps plugins, as it decides itself: PULUMI_HOME, else ~/.pulumi."""
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"


# --- the engine itself ----------------------------------------------------------------------------


def _pulumi() -> Part:
    found = _good_own(PULUMI) or kept(PULUMI)
    if found is None and _download_pulumi():
        found = kept(PULUMI)
    return found or Part(PULUMI, BUILT[PULUMI], "built here", build.build("pulumi") / f"{PULUMI}{EXE}")


def kept(name: str) -> Part | None:
    """What an earlier run has left of a part: downloaded, built, or standing in for it.

    None where it would have to be got first; nothing is got here.
    """
    if name == PULUMI:
        downloaded = Path.home() / ".pulumi" / "versions" / DOWNLOADS[PULUMI] / "bin" / f"{PULUMI}{EXE}"
        if downloaded.exists():
            return Part(PULUMI, DOWNLOADS[PULUMI], "official download", downloaded)
        built = build.built("pulumi")
        return Part(PULUMI, BUILT[PULUMI], "built here", built / f"{PULUMI}{EXE}") if built else None
    in_home = _in_plugin_home(name, DOWNLOADS[name]) if name in DOWNLOADS else None
    if in_home:
        return Part(name, DOWNLOADS[name], "official download", in_home)
    if name == KUBERNETES:
        built = build.built("kubernetes-provider")
        return Part(name, BUILT[name], "built here", built / f"{name}{EXE}") if built else None
    launcher = _launcher_path(name)
    return Part(name, DOWNLOADS.get(name, ""), "stand-in", launcher) if launcher.exists() else None


def _good_own(name: str) -> Part | None:
    """The user's own part on PATH in a good version; says so of one that isn't."""
    own, good = find_own(name), GOOD[name]
    if own is None:
        return None
    version = version_of(own)
    if good.accepts(version):
        return Part(name, version, "PATH", own)
    say(f"{own} is version {version or 'unknown'}: {good} is needed ({good.why}). It stays as it is and is not used.")
    return None


def find_own(name: str) -> Path | None:
    """The user's own program of this name on PATH.

    What an earlier `. .dev/env` has put there isn't, and doesn't hide it.
    """
    folders = os.environ.get("PATH", "").split(os.pathsep)
    theirs = [folder for folder in folders if not any(Path(folder).is_relative_to(ours) for ours in (paths.cache(), paths.DOT_DEV))]
    found = shutil.which(name, path=os.pathsep.join(theirs))
    return Path(found) if found else None


def _download_pulumi() -> bool:
    """Have the Pulumi SDK install the official CLI where it would itself.

    False, after one line why, when that can't be done.
    """
    script = (
        "from pulumi.automation import PulumiCommand; import semver, sys;"
        " PulumiCommand.install(version=semver.VersionInfo.parse(sys.argv[1]))"
    )
    return _download(f"Pulumi {DOWNLOADS[PULUMI]}", [sys.executable, "-c", script, DOWNLOADS[PULUMI]])


# --- plugins --------------------------------------------------------------------------------------


def _language(pulumi: Part) -> Part:
    """The Python language host comes with the official CLI, in the same folder."""
    beside = pulumi.path.resolve().parent / f"{LANGUAGE}{EXE}"
    if beside.exists():
        return Part(LANGUAGE, pulumi.version, pulumi.origin, beside if pulumi.origin != "PATH" else pulumi.path.parent / beside.name)
    own = _good_own(LANGUAGE)
    if own:
        return own
    return Part(LANGUAGE, pulumi.version, "stand-in", _launcher(LANGUAGE, "language_python"))


def _plugin(pulumi: Part, name: str) -> Part:
    wanted = DOWNLOADS[name]
    own = _good_own(name)
    if own:
        return own
    kept = _in_plugin_home(name, wanted)
    if kept:
        return Part(name, wanted, "PATH" if pulumi.origin == "PATH" else "official download", kept)
    if pulumi.origin != "built here" or _no_other_way(name) is None:
        short = name.removeprefix("pulumi-resource-")
        command = [str(pulumi.path), "plugin", "install", "resource", short, wanted]
        if _download(f"Pulumi's {short} plugin {wanted}", command):
            kept = _in_plugin_home(name, wanted)
            if kept:
                return Part(name, wanted, "official download", kept)
    if name == KUBERNETES:
        return Part(name, BUILT[KUBERNETES], "built here", build.build("kubernetes-provider") / f"{name}{EXE}")
    return Part(name, wanted, "stand-in", _launcher(name, "command_provider"))


def _no_other_way(name: str) -> Path | None:
    """What stands in for a download of the plugin on this machine already, so that none is tried on
    every run."""
    if name == KUBERNETES:
        return build.built("kubernetes-provider")
    launcher = _launcher_path(name)
    return launcher if launcher.exists() else None


def _in_plugin_home(name: str, version: str) -> Path | None:
    """The plugin in the engine's own plugin folder, whole: the engine leaves a `.partial` beside
    one that it is still unpacking."""
    folder = plugin_home() / f"resource-{name.removeprefix('pulumi-resource-')}-v{version}"
    executable = folder / f"{name}{EXE}"
    return executable if executable.exists() and not folder.with_name(folder.name + ".partial").exists() else None


def _launcher_path(name: str) -> Path:
    return paths.DOT_DEV / "bin" / (f"{name}.cmd" if os.name == "nt" else name)


def _launcher(name: str, module: str) -> Path:
    """Write the program by which the engine starts a stand-in with this clone's Python."""
    launcher = _launcher_path(name)
    launcher.parent.mkdir(parents=True, exist_ok=True)
    # -I: neither the folder it is started in, which is the program's, nor PYTHONPATH decides what
    # this Python imports.
    # No garbage is collected while it is loaded, a quarter of that time: `serve` turns it on.
    loaded = f"from devkube.toolchain.stand_ins.{module} import main"
    start = f"import gc, sys; gc.disable(); sys.path.insert(0, {str(paths.ROOT)!r}); {loaded}; main()"
    if os.name == "nt":
        text = f'@echo off\r\n"{sys.executable}" -I -c "{start}" %*\r\n'
    else:
        text = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -c {shlex.quote(start)} "$@"\n'
    if not launcher.exists() or launcher.read_bytes() != text.encode():
        unfinished = launcher.with_name(f"{launcher.name}.{os.getpid()}")
        unfinished.write_bytes(text.encode())
        unfinished.chmod(0o755)
        unfinished.replace(launcher)
    return launcher


# --- downloads ------------------------------------------------------------------------------------


@functools.cache
def why_no_download() -> str:
    """Why the official downloads can't be reached from here, in a few words; empty when they can.

    The installers themselves wait for a silent network without an end; this doesn't.
    """
    try:
        # An opener of its own: urlopen keeps one for good, with the proxies of its first use.
        with urllib.request.build_opener().open(urllib.request.Request(DOWNLOAD_HOST, method="HEAD"), timeout=_REACHED_WITHIN):
            pass
    except (OSError, ValueError, http.client.HTTPException) as problem:
        reason = str(getattr(problem, "reason", None) or problem) or type(problem).__name__
        return f"{reason}, through {proxies.named()}" if proxies.named() else reason
    return ""


def _download(title: str, command: Sequence[str]) -> bool:
    """Run the installer `command`.

    False, after one line of explanation, when it fails or takes too long.
    """
    problem = why_no_download()
    if not problem:
        with step(f"{title}: official download", estimate=30):
            problem = run_bounded(command, _DOWNLOAD_LIMIT)
        if not problem:
            return True
    say(f"{title}: no official download here ({problem}).")
    return False


def run_bounded(command: Sequence[str], limit: float) -> str:
    """Run `command` for at most `limit` seconds; gives what went wrong in one line, or nothing.

    It never outlives this call.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as problem:
        return f"{command[0]}: {problem.strerror}"
    try:
        with ended_with(process):
            said, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not done after {limit:.0f} s"
    if process.returncode == 0:
        return ""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {process.returncode}"
