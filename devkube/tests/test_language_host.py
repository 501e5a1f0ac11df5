"""What a Python program sees and says, with whatever language host `ensure_engine()` gives:
official or stand-in.

What is the stand-in's contract alone is marked `stand_in`.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from devkube import paths
from devkube.tests.project import NAME, STACK, Project
from devkube.versions import COMMAND, LANGUAGE

pytestmark = pytest.mark.engine


def test_config_secrets_and_outputs(project: Project) -> None:
    project.pulumi("config", "set", "plain", "hello")
    project.pulumi("config", "set", "--secret", "hidden", "hunter2")
    said = project.up("""
        config = pulumi.Config()
        pulumi.export("plain", config.require("plain"))
        pulumi.export("hidden", config.require_secret("hidden"))
        pulumi.export("about", [pulumi.get_project(), pulumi.get_stack(), pulumi.runtime.is_dry_run()])
        pulumi.export("known as secret", pulumi.runtime.is_config_secret(config.full_key("hidden")))
    """)
    assert project.outputs() == {"plain": "hello", "hidden": "hunter2", "about": [NAME, STACK, False], "known as secret": True}
    assert "hunter2" not in said


def test_an_exception_shows_the_programs_own_lines_and_fails_the_run(project: Project) -> None:
    said = project.up(
        """
        def deep():
            raise ValueError("on purpose")

        deep()
        """,
        succeeds=False,
    )
    assert "Program failed with an unhandled exception" in said
    assert 'raise ValueError("on purpose")' in said and "ValueError: on purpose" in said
    assert "runpy" not in said and "run_in_stack" not in said


def test_an_exception_in_an_apply_fails_the_run(project: Project) -> None:
    said = project.up('pulumi.Output.from_input(1).apply(lambda _: {}["missing"])', succeeds=False)
    assert "KeyError: 'missing'" in said


def test_a_run_error_is_one_line_without_a_traceback(project: Project) -> None:
    said = project.up('raise pulumi.RunError("not like this")', succeeds=False)
    assert "error: not like this" in said and "Traceback" not in said


def test_an_exit_status_of_its_own_is_named(project: Project) -> None:
    assert "exit code: 7" in project.up("import sys\nsys.exit(7)", succeeds=False)


def test_a_syntax_error_names_the_line(project: Project) -> None:
    said = project.up("x = = 1\n", succeeds=False)
    assert "SyntaxError" in said and "x = = 1" in said


def test_modules_beside_the_program_and_what_it_prints(project: Project) -> None:
    (project.folder / "helper.py").write_text("ANSWER = 42\n")
    said = project.up('import helper\nprint("printed by the program")\npulumi.export("answer", helper.ANSWER)')
    assert project.outputs() == {"answer": 42}
    assert "printed by the program" in said


def test_the_virtualenv_option_is_relative_to_the_project(project: Project) -> None:
    venv.create(project.folder / "its own env", with_pip=False, symlinks=True)
    # its packages are the clone's: a .pth file instead of an installation that takes a minute
    packages = next((paths.VENV / "lib").glob("python*/site-packages"))
    own = next((project.folder / "its own env" / "lib").glob("python*/site-packages"))
    (own / "clone.pth").write_text(str(packages))
    project.settings({"virtualenv": "its own env"})
    project.up('import sys\npulumi.export("prefix", sys.prefix)')
    assert project.outputs() == {"prefix": str(project.folder / "its own env")}


def wheel_of_the_clones_packages(folder: Path) -> Path:
    """A package by which a virtual environment has the clone's packages, without an installation
    that takes a minute."""
    name = "clones_packages"
    files = {
        "clone.pth": str(next((paths.VENV / "lib").glob("python*/site-packages"))),
        f"{name}-1.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{name}-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in files)
    wheel = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in {**files, f"{name}-1.dist-info/RECORD": record}.items():
            archive.writestr(file, text)
    return wheel


def test_a_virtualenv_that_is_missing_is_made_with_what_the_project_requires(project: Project) -> None:
    wheel = wheel_of_the_clones_packages(project.folder)
    (project.folder / "requirements.txt").write_text(f"./{wheel.name}\n")
    project.settings({"virtualenv": "made"})
    project.up('import sys\npulumi.export("prefix", sys.prefix)')
    assert project.outputs() == {"prefix": str(project.folder / "made")}


def test_what_a_project_requires_and_cannot_have_fails_the_run(project: Project) -> None:
    (project.folder / "requirements.txt").write_text("./nowhere-to-be-found.whl\n")
    project.settings({"virtualenv": "made"})
    assert "nowhere-to-be-found" in project.preview(succeeds=False)


def test_a_folder_that_is_no_virtualenv_is_named_and_left_alone(project: Project) -> None:
    (project.folder / "somebodys").mkdir()
    (project.folder / "somebodys" / "notes").touch()
    project.settings({"virtualenv": "somebodys"})
    assert "somebodys" in project.preview(succeeds=False)
    assert [file.name for file in (project.folder / "somebodys").iterdir()] == ["notes"]


def test_a_program_in_a_folder_of_its_own(project: Project) -> None:
    (project.folder / "src").mkdir()
    (project.folder / "src" / "__main__.py").write_text('import pulumi, neighbour\npulumi.export("from", neighbour.NAME)\n')
    (project.folder / "src" / "neighbour.py").write_text('NAME = "src"\n')
    text = (project.folder / "Pulumi.yaml").read_text()
    (project.folder / "Pulumi.yaml").write_text(f"{text}main: src/\n")
    project.up()
    assert project.outputs() == {"from": "src"}


def test_install_makes_the_virtual_environment_and_installs_what_is_required(project: Project) -> None:
    (project.folder / "requirements.txt").write_text("")
    project.settings({"virtualenv": "fresh"})
    project.pulumi("install")
    assert (project.folder / "fresh" / "pyvenv.cfg").exists()
    (project.folder / "requirements.txt").write_text("./nowhere-to-be-found\n")
    done = project.pulumi("install", succeeds=False)
    assert "nowhere-to-be-found" in done.stdout + done.stderr


@pytest.mark.stand_in(LANGUAGE)  # the official host asks for the plugins of all packages, and `pulumi install` downloads them
def test_install_is_content_with_the_plugins_that_are_there(project: Project) -> None:
    project.pulumi("install")


def test_about_knows_the_interpreter(project: Project) -> None:
    said = project.pulumi("about").stdout
    assert str(paths.VENV) in said and ".".join(map(str, sys.version_info[:3])) in said


def _processes_of(project: Project) -> list[psutil.Process]:
    """Everything alive that was started with this project's state (its path is in their
    environment)."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("PULUMI_BACKEND_URL") == project.variables["PULUMI_BACKEND_URL"]:
                found.append(process)
    return found


def _wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)


def _interrupted(project: Project, folder: Path, how: signal.Signals) -> str:
    """What an `up` said that was sent a signal while a command of it ran; it has failed."""
    project.program(f"""
        local.Command("long", create="touch {folder}/started; sleep 300")
    """)
    process = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--color", "never"],
        cwd=project.folder,
        env=project.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        # The program waits for the command, the command sleeps.
        _wait_until((folder / "started").exists)
        process.send_signal(how)
        if how != signal.SIGKILL:
            time.sleep(1)
            # As a person does: the first asks to finish, the second insists.
            process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    return said


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_and_leaves_no_process(project: Project, tmp_path: Path, how: signal.Signals) -> None:
    _interrupted(project, tmp_path, how)
    _wait_until(lambda: not _processes_of(project))


# The official host's program ends with a KeyboardInterrupt, and what a killed engine has started
# stays until `ops heal` or `make up` ends it.
@pytest.mark.stand_in(LANGUAGE, COMMAND)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_ends_without_traceback_and_leaves_no_process(project: Project, tmp_path: Path, how: signal.Signals) -> None:
    said = _interrupted(project, tmp_path, how)
    assert "Traceback" not in said and "KeyboardInterrupt" not in said
    _wait_until(lambda: not _processes_of(project))


PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy


def no_sleep(args, report_violation):
    if args.resource_type == "command:local:Command" and "sleep" in args.props.get("create", ""):
        report_violation("commands here don't sleep")


PolicyPack(
    "commands",
    policies=[ResourceValidationPolicy("no-sleep", "Commands end soon.", no_sleep, enforcement_level=EnforcementLevel.MANDATORY)],
)
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text(f"runtime:\n  name: python\n  options:\n    virtualenv: {paths.VENV}\nversion: 0.0.1\n")
    (folder / "__main__.py").write_text(PACK)
    return folder


def test_a_policy_pack_lets_pass_what_keeps_its_rules(project: Project, pack: Path) -> None:
    said = project.preview('local.Command("it", create="true")', "--policy-pack", str(pack))
    assert "commands@v0.0.1" in said and "no-sleep" not in said


def test_a_policy_pack_stops_what_breaks_them(project: Project, pack: Path) -> None:
    said = project.preview('local.Command("it", create="sleep 1")', "--policy-pack", str(pack), succeeds=False)
    assert "no-sleep" in said and "commands here don't sleep" in said


def test_a_policy_pack_that_fails_shows_why(project: Project, pack: Path) -> None:
    (pack / "__main__.py").write_text("raise ValueError('broken pack')\n")
    assert "broken pack" in project.preview('local.Command("it", create="true")', "--policy-pack", str(pack), succeeds=False)
