"""Container images that are made on this machine, because a dev cluster must work where no image
registry can be reached."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from devkube import cache, paths
from devkube.debian import unpack
from devkube.errors import MachineError
from devkube.images import engines, kafka
from devkube.images.oci import ImageConfig, is_whole, write_archive
from devkube.toolchain.build import build

REPOSITORY = "storage-tiers.local"
_FORM = "2"  # raise it when the recipes below change what they make from the same sources


def reference(name: str) -> str:
    """What a pod names the image by, e.g. `storage-tiers.local/busybox:1`."""
    return f"{REPOSITORY}/{name}:1"


def _pause(rootfs: Path, binary: Path) -> ImageConfig:
    shutil.copy(binary, rootfs / "pause")
    return ImageConfig(entrypoint=["/pause"], user="65535:65535")


def _busybox(rootfs: Path, binary: Path) -> ImageConfig:
    for folder in ("bin", "etc", "root", "tmp", "var", "home"):
        (rootfs / folder).mkdir()
    shutil.copy(binary, rootfs / "bin/busybox")
    applets = subprocess.run([binary, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (rootfs / "bin" / applet).symlink_to("busybox")
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n")
    (rootfs / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    return ImageConfig(command=["sh"], environment={"PATH": "/bin"}, modes={"tmp": 0o1777, "root": 0o700})


def _pause_source() -> Path:
    return build("node") / "pause"


def _busybox_source() -> Path:
    installed = Path("/bin/busybox")
    # A busybox that is linked against the system's libraries would not start in an image that has
    # none.
    if installed.exists() and b"/ld-" not in installed.read_bytes()[:4096]:
        return installed
    return unpack(["busybox-static"]) / "bin/busybox"


def _python(rootfs: Path, packages: Path) -> ImageConfig:
    """Python's standard library and interpreter on Debian's libc, for any user.

    Without OpenSSL and whatever else needs a library.
    """
    shutil.copytree(
        packages, rootfs, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("doc", "man", "lintian", ".packages", cache.SEAL)
    )
    version = next(path.name for path in sorted((rootfs / "usr/bin").glob("python3.*")))
    (rootfs / "usr/bin/python3").unlink(missing_ok=True)
    (rootfs / "usr/bin/python3").symlink_to(version)
    (rootfs / "tmp").mkdir(exist_ok=True)
    return ImageConfig(command=["python3"], environment={"PATH": "/usr/bin"}, user="65532:65532", modes={"tmp": 0o1777})


def _python_source(*libraries: str) -> Path:
    version = (unpack(["python3-minimal"]) / "usr/bin/python3").readlink().name
    return unpack([f"{version}-minimal", f"lib{version}-minimal", f"lib{version}-stdlib", "libc6", "libexpat1", "zlib1g", *libraries])


def _clients_source() -> Path:
    return engines.clients_source(_python_source("libffi8", "libssl3"))  # ctypes and libpq ask for them


def _copying_source() -> Path:
    tools = ("tar", "rsync", "dash", "coreutils")
    libraries = (
        "libacl1",
        "libattr1",
        "libselinux1",
        "libpcre2-8-0",
        "liblz4-1",
        "libpopt0",
        "libssl3",
        "libxxhash0",
        "libzstd1",
        "libgmp10",
    )
    return _python_source(*tools, *libraries)


_RECIPES: dict[str, tuple[Callable[[], Path], Callable[[Path, Path], ImageConfig]]] = {
    "pause": (_pause_source, _pause),
    "busybox": (_busybox_source, _busybox),
    "python": (_python_source, _python),
    "clients": (_clients_source, _python),
    "copying": (_copying_source, _python),  # of one benchmark, bench/move.py
    "postgresql": (engines.postgresql_source, engines.postgresql),
    "kafka": (kafka.kafka_source, kafka.kafka),
    "connect": (kafka.connect_source, kafka.kafka),  # of one test, tests/integration/test_cdc.py
    "mirror": (kafka.mirror_source, kafka.kafka),  # of live moves of Kafka
}


def build_image(name: str) -> Path:
    """The OCI archive of the image `name`, from the cache or made now.

    Its name in the archive is `reference(name)`.

    A second tag in it is the first 12 digits of its digest. Raises MachineError for a name that
    there is no recipe for, or when what it is made from can't be had.
    """
    if name not in _RECIPES:
        raise MachineError(f"there is no image {name!r}.", f"Known: {', '.join(_RECIPES)}.")
    source, recipe = _RECIPES[name]
    material = source()
    # A folder of unpacked packages has a list of their versions and digests in it.
    content = (material / ".packages" if material.is_dir() else material).read_bytes()
    key = hashlib.sha256(f"{_FORM} {name} ".encode() + content).hexdigest()[:16]
    folder = paths.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{key}.tar"
    with FileLock(folder / f"{name}.lock"):
        if not is_whole(target):
            with tempfile.TemporaryDirectory(dir=folder, prefix=".rootfs-") as temporary:
                rootfs = Path(temporary)
                config = recipe(rootfs, material)
                write_archive(rootfs, config, f"{REPOSITORY}/{name}", ["1", "{digest}"], target)
    return target
