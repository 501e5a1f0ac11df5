"""The image of a Kind node, as `kind build node-image` makes it, but from packages alone.

Its parts are Debian's (systemd, containerd, the pod network's plugins), those of the Go module of
kind (start script, settings, manifests), and this project's own build of Kubernetes. They are put
together once and kept in the user's cache, as what is built from Go modules is.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
import tempfile
from pathlib import Path

from filelock import FileLock

from devkube import cache, paths
from devkube.progress import step
from devkube.toolchain.build import KUBERNETES_VERSION, build
from tests.kind.containerd import containerd
from tests.kind.parts import (
    IPTABLES_PACKAGES,
    KIND_MODULE,
    PARTS_IMAGE,
    NodePrograms,
    crictl,
    install_debian,
    kind_sources,
    kube_proxy,
    output,
    write_parts_image,
)

IMAGE = f"storage-tiers.local/kind-node:v{KUBERNETES_VERSION}"
_FORM = "1"  # raise it when this module makes another image from the same parts

# Those of kind's images/base/Dockerfile, less what shared storage and rootless Docker need; and
# what it builds from source.
_PACKAGES = ["systemd", "conntrack", "iptables", "nftables", "iproute2", "ethtool", "util-linux", "mount", "kmod", "libseccomp2"]
_PACKAGES += ["e2fsprogs", "bash", "ca-certificates", "jq", "procps", "containerd", "runc", "containernetworking-plugins"]
_NOT_NEEDED = ["usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists", "var/log"]
# For a cluster of one node: kind's own plugin has the same content in it, by the node's range.
_POD_NETWORK = {
    "cniVersion": "0.3.1",
    "name": "kindnet",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni-ipam-state",
                "routes": [{"dst": "0.0.0.0/0"}],
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
_NO_MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: pod-network, namespace: kube-system}\ndata: {settings: /etc/cni/net.d}\n"


def node_image() -> Path:
    """The archive of the image, which `docker load` reads; its name there is `IMAGE`.

    Made where the cache has none: about five minutes once. Raises MachineError where its parts
    can't be had.
    """
    programs = NodePrograms(build("node"), build("local-path-provisioner"), kube_proxy(), crictl())
    about = [_FORM, IMAGE, *_PACKAGES, *IPTABLES_PACKAGES, *programs.names(), (KIND_MODULE / "go.mod").read_text()]
    folder = paths.cache() / "built"
    result = folder / f"kind-node-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]}"
    if cache.is_whole(result):
        return result / "image.tar"
    with FileLock(folder / "kind-node.lock"):
        if not cache.is_whole(result):
            for left in [*folder.glob("kind-node.unfinished-*"), result]:
                shutil.rmtree(left, ignore_errors=True)
            unfinished = Path(tempfile.mkdtemp(prefix="kind-node.unfinished-", dir=folder))
            try:
                _make(unfinished, programs)
                (unfinished / "out").rename(result)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return result / "image.tar"


def _make(folder: Path, programs: NodePrograms) -> None:
    rootfs, out = folder / "rootfs", folder / "out"
    out.mkdir()
    with step("Kind's node image: Debian's packages", estimate=120):
        install_debian(rootfs, _PACKAGES)
    with step("Kind's node image", estimate=60) as shown:
        shown.detail = "settings"
        kind = kind_sources()
        _set_up(rootfs, kind / "images/base/files")
        for name in ("kube", "kubeadm", "kubelet", "kubectl"):
            shutil.copy(programs.kubernetes / name, rootfs / "usr/bin" / name, follow_symlinks=False)
        shutil.copy(programs.crictl, rootfs / "usr/local/bin")
        (rootfs / "kind/version").write_text(f"v{KUBERNETES_VERSION}")
        shown.detail = "images in it"
        storage, storage_images = _storage_manifest(kind)
        (rootfs / "kind/manifests").mkdir()
        (rootfs / "kind/manifests/default-storage.yaml").write_text(storage)
        (rootfs / "kind/manifests/default-cni.yaml").write_text(_NO_MANIFEST)
        parts = folder / "parts.tar"
        write_parts_image(folder / "parts", programs, parts)
        with containerd(rootfs / "var/lib/containerd") as ctr:
            ctr("images", "import", "--no-unpack", str(parts))
            for name in [*_control_plane_images(programs.kubernetes), _sandbox_image(rootfs), *storage_images]:
                ctr("images", "tag", f"{PARTS_IMAGE}:1", name)
            specification = json.loads(ctr("oci", "spec"))
        # As in kind's Dockerfile: every container sees the node's own product id.
        specification.setdefault("hooks", {})["createContainer"] = [{"path": "/kind/bin/mount-product-files.sh"}]
        specification["process"].pop("rlimits", None)
        (rootfs / "etc/containerd/cri-base.json").write_text(json.dumps(specification))
        shown.detail = "archive"
        _write_image(rootfs, folder / "layer.tar", out / "image.tar")
        cache.seal(out)


def _set_up(rootfs: Path, files: Path) -> None:
    """What kind's images/base/Dockerfile does after the packages are there."""
    for source in (path for path in files.rglob("*") if path.is_file()):
        target = rootfs / source.relative_to(files)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if {"bin"} & set(source.relative_to(files).parts) else 0o644)
    wanted = ["lib/systemd/system/multi-user.target.wants/*", "etc/systemd/system/*.wants/*", "lib/systemd/system/local-fs.target.wants/*"]
    wanted += ["lib/systemd/system/sockets.target.wants/*udev*", "lib/systemd/system/sockets.target.wants/*initctl*"]
    wanted += ["lib/systemd/system/basic.target.wants/*", "lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service"]
    for pattern in wanted:
        for path in rootfs.glob(pattern):
            path.unlink()
    with (rootfs / "etc/systemd/journald.conf").open("a") as settings:
        settings.write("ReadKMsg=no\n")
    units = rootfs / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    for name in ("kubelet.service", "containerd.service", "undo-mount-hacks.service"):
        (units / "multi-user.target.wants" / name).symlink_to(f"../{name}")
    (units / "systemd-binfmt.service").symlink_to("/dev/null")
    (rootfs / "sbin/init").unlink(missing_ok=True)
    (rootfs / "sbin/init").symlink_to("/lib/systemd/systemd")
    # Where kind has them, as Debian has them.
    for name in ("containerd", "containerd-shim-runc-v2", "ctr"):
        (rootfs / "usr/local/bin" / name).symlink_to(f"/usr/bin/{name}")
    (rootfs / "opt/cni").mkdir(parents=True, exist_ok=True)
    (rootfs / "opt/cni/bin").symlink_to("/usr/lib/cni")
    # Without CAP_SYS_RESOURCE nobody's out-of-memory score can be lowered.
    _replace(rootfs / "etc/containerd/config.toml", "restrict_oom_score_adj = false", "restrict_oom_score_adj = true")
    _replace(units / "containerd.service", "OOMScoreAdjust=-999\n", "")
    network = rootfs / "etc/cni/net.d/10-kindnet.conflist"
    network.parent.mkdir(parents=True, exist_ok=True)
    network.write_text(json.dumps(_POD_NETWORK, indent=2))
    (rootfs / "etc/kubernetes/manifests").mkdir(parents=True, exist_ok=True)
    for folder in _NOT_NEEDED:
        for path in (rootfs / folder).glob("*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path.name} of kind has no {old.strip()!r}"
    path.write_text(text.replace(old, new))


def _storage_manifest(kind: Path) -> tuple[str, list[str]]:
    """kind's own manifest for volumes, and the images in it: text between back quotes in Go."""
    source = (kind / "pkg/build/nodeimage/const_storage.go").read_text()
    images = dict(re.findall(r'^const (\w+Image) = "([^"]+)"$', source, re.MULTILINE))
    found = re.search(r"^const defaultStorageManifest = `\n(.*?)`\n?\Z", source, re.MULTILINE | re.DOTALL)
    assert found and images, f"no manifest in {kind}/pkg/build/nodeimage/const_storage.go"
    return re.sub(r"` \+ (\w+) \+ `", lambda name: images[name[1]], found[1]), list(images.values())


def _control_plane_images(node: Path) -> list[str]:
    """What kubeadm names in its manifests, less the DNS server, which no Go module here has."""
    listed = output(str(node / "kubeadm"), "config", "images", "list", f"--kubernetes-version=v{KUBERNETES_VERSION}")
    return [name for name in listed.split() if "coredns" not in name]


def _sandbox_image(rootfs: Path) -> str:
    found = re.search(r'sandbox_image = "([^"]+)"', (rootfs / "etc/containerd/config.toml").read_text())
    assert found, "kind's settings of containerd name no sandbox image"
    return found[1]


def _write_image(rootfs: Path, layer: Path, target: Path) -> None:
    """An archive as `docker save` writes it, of one layer.

    Docker 20.10 reads no other; its `docker import` knows no STOPSIGNAL.
    """
    output("tar", f"--directory={rootfs}", "--numeric-owner", "--create", f"--file={layer}", ".")
    shutil.rmtree(rootfs)
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    settings = {
        "architecture": output("dpkg", "--print-architecture").strip(),
        "os": "linux",
        "config": {"Env": ["container=docker"], "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"], "StopSignal": "SIGRTMIN+3"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    with tarfile.open(target, "w") as archive:
        archive.add(layer, "layer.tar")
        for name, content in (
            ("config.json", settings),
            ("manifest.json", [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]),
        ):
            written = json.dumps(content).encode()
            information = tarfile.TarInfo(name)
            information.size = len(written)
            archive.addfile(information, io.BytesIO(written))
