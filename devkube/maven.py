"""Jars from Maven's repository: those that are written down, and no others."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from devkube import paths, proxies
from devkube.errors import MachineError

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_WAITING = 600  # seconds that Maven may take


def jars(of: str, pom: Path, written: Path, target: Path) -> None:
    """The jars that a POM depends on at run time, in a new folder `target`.

    `written` has their digests, each before a name as sha256sum writes them. `of` is whose jars
    they are, for messages. Raises MachineError.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise MachineError(f"{of}'s jars can't be had: Maven (mvn) is not on PATH.", "Install it (Debian's package `maven`).")
    with tempfile.TemporaryDirectory(dir=paths.cache(), prefix=".maven-") as own:
        command = [maven, "--quiet", "--batch-mode", f"--file={pom}", f"-Dmaven.repo.local={own}/repository", _COPY]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={own}/jars"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=_WAITING, cwd=own)
        except subprocess.TimeoutExpired:
            raise MachineError(f"Maven has not got {of}'s jars in {_WAITING} s.", proxies.said() or "Is the network slow?") from None
        if answer.returncode != 0:
            said = (answer.stdout + answer.stderr).strip().splitlines()
            cause = next((line for line in said if "ERROR" in line), said[-1] if said else "it says nothing")
            hint = "Maven needs a repository that can be reached from here: its settings.xml names one."
            raise MachineError(f"{of}'s jars could not be had: {cause}", f"{hint} {proxies.said()}".rstrip())
        _verify(of, Path(own) / "jars", written)
        shutil.move(Path(own) / "jars", target)


def _verify(of: str, folder: Path, written: Path) -> None:
    wanted = {name: digest for digest, name in map(str.split, written.read_text(encoding="utf-8").splitlines())}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    others = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if others:
        raise MachineError(
            f"Maven's repository has given other jars for {of} than those of {written.name}: {', '.join(others[:5])}.",
            "Is it a mirror that changes what it hands on?",
        )
