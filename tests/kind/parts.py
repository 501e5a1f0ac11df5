"""What a Kind node is made of, from package registries alone."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devkube import cache, debian
from devkube.errors import MachineError
from devkube.images import build_image
from devkube.images.oci import ImageConfig, write_archive
from devkube.toolchain.build import KUBERNETES_VERSION, Recipe, build_module, ensure_go, go_environment

_HERE = Path(__file__).resolve().parent
KIND_MODULE = _HERE / "kind-cli"
_KIND = "sigs.k8s.io/kind"
PARTS_IMAGE = "storage-tiers.local/kind-parts"
# iptables with its libraries: the packages, and the programs by the names that others call.
IPTABLES_PACKAGES = ["iptables", "libxtables12", "libip4tc2", "libip6tc2"]
IPTABLES_PACKAGES += ["libmnl0", "libnftnl11", "libnfnetlink0", "libnetfilter-conntrack3"]
IPTABLES_PROGRAMS = [f"{family}{suffix}" for family in ("iptables", "ip6tables") for suffix in ("", "-save", "-restore")]
# Apt's way to the packages: proxies, certificates, what a mirror needs.
_APT_OPTION = re.compile(r'^Acquire::(https?|Check-|Retries|Force|Allow)[\w:.-]* "[^"]+";$')


@dataclass(frozen=True)
class NodePrograms:
    """What is built from Go modules for a node: folders of several programs, and programs."""

    kubernetes: Path
    local_path: Path
    kube_proxy: Path
    crictl: Path

    def names(self) -> list[str]:
        """Names that change whenever a program does."""
        return [self.kubernetes.name, self.local_path.name, self.kube_proxy.parent.name, self.crictl.parent.name]


def output(*command: str) -> str:
    """Run a program to its end; what it printed. Raises MachineError with its last words."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise MachineError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def kind_program() -> Path:
    """The command `kind`, built from its Go module where the cache has none."""
    recipe = Recipe(title="kind", estimate=30, packages={"kind": _KIND}, ldflags="-s -w")
    return build_module(KIND_MODULE, recipe) / "kind"


def kube_proxy() -> Path:
    """The program kube-proxy, of the same version as the node's other parts."""
    version = f"v{KUBERNETES_VERSION}"
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={version} -X k8s.io/client-go/pkg/version.gitVersion={version}"
    recipe = Recipe(title="kube-proxy", estimate=60, packages={"kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy"}, ldflags=flags)
    return build_module(_HERE / "kube-proxy", recipe) / "kube-proxy"


def crictl() -> Path:
    """The client of a node's container runtime, which no Debian package has."""
    recipe = Recipe(title="crictl", estimate=60, packages={"crictl": "sigs.k8s.io/cri-tools/cmd/crictl"}, ldflags="-s -w")
    return build_module(_HERE / "crictl", recipe) / "crictl"


def kind_sources() -> Path:
    """The folder of kind's Go module in Go's own cache: what the checksums of go.sum cover."""
    asked = [ensure_go(), "mod", "download", "-json", _KIND]
    done = subprocess.run(asked, cwd=KIND_MODULE, env=go_environment(), capture_output=True, text=True)
    if done.returncode != 0:
        raise MachineError(f"the Go module {_KIND} can't be had: {done.stderr.strip() or done.stdout.strip()}")
    return Path(json.loads(done.stdout)["Dir"])


def install_debian(rootfs: Path, packages: Sequence[str]) -> None:
    """A root folder with `packages` installed, from where the machine's own apt has its packages.

    Raises MachineError with the last words of mmdebstrap.
    """
    tool = debian.unpack(["mmdebstrap"])
    listed = output("apt-get", "indextargets", "--format=deb $(REPO_URI) $(RELEASE) $(COMPONENT)|$(ORIGIN)", "Created-By: Packages")
    sources = [line.partition("|")[0] for line in listed.splitlines() if line.partition("|")[2] in ("Debian", "Ubuntu", "")]
    options = [line for line in output("apt-config", "dump", "Acquire").splitlines() if _APT_OPTION.match(line)]
    codename = output("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME").strip()
    command = [
        # Its mounts end with it, however it ends.
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", str(tool / "usr/bin/mmdebstrap")),
        *("--quiet", "--mode=root", "--variant=essential", "--format=directory", f"--include={','.join(packages)}"),
        f"--hook-dir={tool / 'usr/share/mmdebstrap/hooks/merged-usr'}",
        *(f"--aptopt={option}" for option in options),
        *("--dpkgopt=force-unsafe-io", codename, str(rootfs), *sources),
    ]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-6:])
        raise MachineError(f"mmdebstrap can't install Kind's node from the machine's apt sources:\n{said}")


def write_parts_image(rootfs: Path, programs: NodePrograms, target: Path) -> None:
    """One image with every program that runs in a pod of the node's own.

    A pod's manifest names the program, or none for a pod's sandbox.
    """
    shutil.copytree(
        debian.unpack([*IPTABLES_PACKAGES, "libc6"]),
        rootfs,
        symlinks=True,
        ignore=shutil.ignore_patterns("doc", "man", ".packages", cache.SEAL),
    )
    folder = rootfs / "usr/local/bin"
    folder.mkdir(parents=True)
    for source in (*programs.kubernetes.iterdir(), programs.local_path / "local-path-provisioner", programs.kube_proxy):
        if not source.name.startswith("."):
            shutil.copy(source, folder / source.name, follow_symlinks=False)
    (folder / "pause").rename(rootfs / "pause")
    multi_call = next(rootfs.glob("**/xtables-nft-multi"))
    for name in IPTABLES_PROGRAMS:
        (multi_call.parent / name).unlink(missing_ok=True)
        (multi_call.parent / name).symlink_to(multi_call.name)
    with tarfile.open(build_image("busybox")) as archive:  # a shell for the helper pods of volumes
        _unpack_layer(archive, rootfs)
    path = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    write_archive(
        rootfs,
        ImageConfig(entrypoint=["/pause"], environment={"PATH": path}, modes={"tmp": 0o1777}),
        "storage-tiers.local/kind-parts",
        ["1"],
        target,
    )


def _unpack_layer(archive: tarfile.TarFile, rootfs: Path) -> None:
    """Unpack the one layer of an OCI archive of this project's."""

    def read(name: str) -> bytes:
        file = archive.extractfile(name)
        assert file
        return file.read()

    manifest = json.loads(read(_blob(json.loads(read("index.json"))["manifests"][0])))
    with tarfile.open(fileobj=io.BytesIO(read(_blob(manifest["layers"][0])))) as layer:
        layer.extractall(rootfs, filter="fully_trusted")


def _blob(descriptor: dict[str, str]) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"
