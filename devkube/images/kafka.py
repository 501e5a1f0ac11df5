"""The image of Kafka: its jars by Maven, Java from Debian's packages."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from devkube import cache, paths, proxies
from devkube.debian import needed_by, unpack
from devkube.errors import MachineError
from devkube.images.oci import ImageConfig
from devkube.progress import step

POM = Path(__file__).with_name("kafka-pom.xml")
JARS = Path(__file__).with_name("kafka-jars.txt")  # a digest and a name in each line, as sha256sum writes them
LIBRARIES = "opt/kafka/libs"  # where Apache's own image has them
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
# Of what Java depends on, what it needs without a display, a printer or a card reader.
_RUNS = re.compile(r"openjdk-\d+-jre-headless$|libc6$|libgcc-s1$|libstdc\+\+6$|zlib1g$")
_UNUSED = ("doc", "man", "lintian", "locale", "info", ".packages", cache.SEAL)
_WAITING = 600  # seconds that Maven may take


def kafka_source() -> Path:
    """A folder with Java's unpacked packages, and Kafka's jars. Raises MachineError."""
    java = unpack([name for name in needed_by("default-jre-headless") if _RUNS.match(name)])
    made_of = (java / ".packages").read_bytes() + JARS.read_bytes()
    target = paths.cache() / "kafka" / hashlib.sha256(made_of).hexdigest()[:16]
    if cache.is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as new:
        root = Path(new) / "root"
        shutil.copytree(java, root, symlinks=True)
        with step("Kafka by Maven", estimate=60):
            jars(root / LIBRARIES)
        (root / ".packages").write_bytes(made_of)
        cache.keep(root, target)
    return target


def jars(target: Path) -> None:
    """Kafka's jars into a new folder, each with the digest that is written down.

    Raises MachineError.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise MachineError("Kafka's jars can't be had: Maven (mvn) is not on PATH.", "Install it (Debian's package `maven`).")
    with tempfile.TemporaryDirectory(dir=paths.cache(), prefix=".maven-") as own:
        command = [maven, "--quiet", "--batch-mode", f"--file={POM}", f"-Dmaven.repo.local={own}/repository", _COPY]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={own}/jars"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=_WAITING, cwd=own)
        except subprocess.TimeoutExpired:
            raise MachineError(f"Maven has not got Kafka's jars in {_WAITING} s.", proxies.said() or "Is the network slow?") from None
        if answer.returncode != 0:
            said = (answer.stdout + answer.stderr).strip().splitlines()
            cause = next((line for line in said if "ERROR" in line), said[-1] if said else "it says nothing")
            hint = "Maven needs a repository that can be reached from here: its settings.xml names one."
            raise MachineError(f"Kafka's jars could not be had: {cause}", f"{hint} {proxies.said()}".rstrip())
        verify(Path(own) / "jars")
        shutil.move(Path(own) / "jars", target)


def verify(folder: Path) -> None:
    """Raise MachineError unless the folder has the jars that are written down, and no other."""
    wanted = {name: digest for digest, name in map(str.split, JARS.read_text(encoding="utf-8").splitlines())}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    others = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if others:
        raise MachineError(
            f"Maven's repository has given other jars for Kafka than those of {JARS.name}: {', '.join(others[:5])}.",
            "Is it a mirror that changes what it hands on?",
        )


def kafka(rootfs: Path, source: Path) -> ImageConfig:
    """Java and Kafka's jars for any user, with no shell."""
    shutil.copytree(source, rootfs, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_UNUSED))
    java = next((rootfs / "usr/lib/jvm").glob("java-*/bin/java")).parent
    (rootfs / "tmp").mkdir(exist_ok=True)
    (rootfs / "etc").mkdir(exist_ok=True)
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/:/bin/false\nnobody:x:65532:65532:nobody:/:/bin/false\n")
    path = f"/{java.relative_to(rootfs).as_posix()}:/usr/bin:/bin"
    return ImageConfig(command=["java", "-version"], environment={"PATH": path}, user="65532:65532", modes={"tmp": 0o1777})
