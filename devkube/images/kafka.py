"""The images of Kafka, of Connect with Debezium, and of MirrorMaker: jars by Maven, Java from
Debian's packages.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from devkube import cache, maven, paths
from devkube.debian import needed_by, unpack
from devkube.images.engines import add_shell
from devkube.images.oci import ImageConfig
from devkube.progress import step

POM = Path(__file__).with_name("kafka-pom.xml")
JARS = Path(__file__).with_name("kafka-jars.txt")  # a digest and a name in each line, as sha256sum writes them
LIBRARIES = "opt/kafka/libs"  # where Apache's own image has them
# Of what Java depends on, what it needs without a display, a printer or a card reader.
_RUNS = re.compile(r"openjdk-\d+-jre-headless$|libc6$|libgcc-s1$|libstdc\+\+6$|zlib1g$")
_UNUSED = ("doc", "man", "lintian", "locale", "info", ".packages", cache.SEAL)


def kafka_source() -> Path:
    """A folder with Java's unpacked packages, and Kafka's jars. Raises MachineError."""
    return _source("Kafka", POM, JARS)


def connect_source() -> Path:
    """A folder with Java's unpacked packages, and the jars of Connect and Debezium.

    Raises MachineError.
    """
    return _source("Connect", POM.with_name("connect-pom.xml"), JARS.with_name("connect-jars.txt"))


def mirror_source() -> Path:
    """A folder with Java's unpacked packages, and the jars of MirrorMaker. Raises MachineError."""
    return _source("MirrorMaker", POM.with_name("mirror-pom.xml"), JARS.with_name("mirror-jars.txt"))


def _source(of: str, pom: Path, written: Path) -> Path:
    java = unpack(["dash", *(name for name in needed_by("default-jre-headless") if _RUNS.match(name))])
    made_of = (java / ".packages").read_bytes() + written.read_bytes()
    target = paths.cache() / of.lower() / hashlib.sha256(made_of).hexdigest()[:16]
    if cache.is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as new:
        root = Path(new) / "root"
        shutil.copytree(java, root, symlinks=True)
        with step(f"{of} by Maven", estimate=60):
            maven.jars(of, pom, written, root / LIBRARIES)
        (root / ".packages").write_bytes(made_of)
        cache.keep(root, target)
    return target


def kafka(rootfs: Path, source: Path) -> ImageConfig:
    """Java, jars and a shell for any user: what starts Kafka in its own image is for a shell."""
    shutil.copytree(source, rootfs, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_UNUSED))
    java = next((rootfs / "usr/lib/jvm").glob("java-*/bin/java")).parent
    add_shell(rootfs)
    (rootfs / "tmp").mkdir(exist_ok=True)
    (rootfs / "etc").mkdir(exist_ok=True)
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/:/bin/false\nnobody:x:65532:65532:nobody:/:/bin/false\n")
    path = f"/{java.relative_to(rootfs).as_posix()}:/usr/bin:/bin"
    return ImageConfig(command=["java", "-version"], environment={"PATH": path}, user="65532:65532", modes={"tmp": 0o1777})
