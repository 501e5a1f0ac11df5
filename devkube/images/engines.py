"""The images of a tier's acceptance: an engine from Debian's packages, Python with its client."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from devkube import cache, paths
from devkube.debian import needed_by, unpack
from devkube.images.oci import ImageConfig
from devkube.progress import step
from devkube.wheels import install

CLIENT_REQUIREMENTS = Path(__file__).with_name("client-requirements.txt")
# Of what PostgreSQL depends on, what runs in a container: libraries, and its own programs. Not
# LLVM (220 MB), which compiles queries, nor Perl, in which Debian has written its wrappers.
_RUNS = re.compile(r"lib(?!llvm|z3|perl|.*-perl$)|postgresql-(client-)?\d+$|zlib1g|tzdata$")
_OFFICIAL = "postgres:x:999:999:postgres:/:/bin/false\n"  # the user of PostgreSQL's own image
_UNUSED = ("doc", "man", "lintian", "locale", "info", "bitcode", "llvmjit*", ".packages", cache.SEAL)


def postgresql_source() -> Path:
    """The unpacked packages of the PostgreSQL that the machine's apt sources have."""
    return unpack(["dash", *(name for name in needed_by("postgresql") if _RUNS.match(name))])


def postgresql(rootfs: Path, packages: Path) -> ImageConfig:
    """PostgreSQL for any user that has a name. initdb starts programs by /bin/sh."""
    shutil.copytree(packages, rootfs, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_UNUSED))
    add_shell(rootfs)
    programs = next((rootfs / "usr/lib/postgresql").glob("*/bin"))
    (rootfs / "tmp").mkdir(exist_ok=True)
    (rootfs / "etc").mkdir(exist_ok=True)
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/:/bin/false\nnobody:x:65532:65532:nobody:/:/bin/false\n" + _OFFICIAL)
    path = f"/{programs.relative_to(rootfs).as_posix()}:/usr/bin:/bin"
    return ImageConfig(command=["postgres"], environment={"PATH": path}, user="65532:65532", modes={"tmp": 0o1777})


def add_shell(rootfs: Path) -> None:
    """Have Debian's dash at /bin/sh."""
    shell = next(path for path in (rootfs / "bin/dash", rootfs / "usr/bin/dash") if path.exists())
    if not (shell.parent / "sh").is_symlink():
        (shell.parent / "sh").symlink_to("dash")
    if not (rootfs / "bin").exists():
        (rootfs / "bin").symlink_to("usr/bin")


def clients_source(python: Path) -> Path:
    """A folder with Python (the unpacked packages `python`) and the engines' clients, from pip."""
    version = next(path.name.removeprefix("python") for path in sorted((python / "usr/bin").glob("python3.*")))
    made_of = (python / ".packages").read_bytes() + CLIENT_REQUIREMENTS.read_bytes()
    target = paths.cache() / "clients" / hashlib.sha256(made_of).hexdigest()[:16]
    if cache.is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with step("Python packages: the engines' clients", estimate=10), tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as new:
        root = Path(new) / "root"
        shutil.copytree(python, root, symlinks=True)
        # The image's Python need not be the one that runs here.
        install(
            "the engines' clients",
            CLIENT_REQUIREMENTS,
            root / "usr/lib/python3/dist-packages",
            "--implementation=cp",
            f"--python-version={version}",
        )
        (root / ".packages").write_bytes(made_of)
        cache.keep(root, target)
    return target
