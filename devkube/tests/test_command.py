"""The contract of `command:local:Command`, with whatever command plugin `ensure_engine()` gives:
official or stand-in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devkube.tests.project import Project

pytestmark = pytest.mark.engine


def test_create_update_delete(project: Project, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = f"""
        command = local.Command(
            "it",
            create="echo create-$N | tee -a {log}",
            update="echo update-$N-$PULUMI_COMMAND_STDOUT | tee -a {log}",
            delete="echo delete-$N-$PULUMI_COMMAND_STDOUT >> {log}",
            environment={{"N": "%s"}},
        )
        pulumi.export("stdout", command.stdout)
    """
    project.up(program % 1)
    assert project.outputs() == {"stdout": "create-1"}
    assert project.up(program % 1).count("unchanged") == 1
    assert log.read_text().split() == ["create-1"]
    project.up(program % 2)
    assert project.outputs() == {"stdout": "update-2-create-1"}
    project.destroy()
    assert log.read_text().split() == ["create-1", "update-2-create-1", "delete-2-update-2-create-1"]


def test_without_update_a_changed_input_runs_create_again_on_the_same_resource(project: Project, tmp_path: Path) -> None:
    program = f'local.Command("it", create="echo %s >> {tmp_path}/log", delete="echo deleted >> {tmp_path}/log")'
    project.up(program % "one")
    before = project.resource("it")
    project.up(program % "two")
    after = project.resource("it")
    assert before and after and before["id"] == after["id"]
    assert (tmp_path / "log").read_text().split() == ["one", "two"]


def test_a_changed_trigger_replaces_and_the_new_one_is_there_before_the_old_one_goes(project: Project, tmp_path: Path) -> None:
    program = f'local.Command("it", create="echo created >> {tmp_path}/log", delete="echo deleted >> {tmp_path}/log", triggers=[%s])'
    project.up(program % '"a", 1')
    before = project.resource("it")
    assert "replace" in project.preview(program % '"a", 2')
    project.up()
    after = project.resource("it")
    assert before and after and before["id"] != after["id"]
    assert (tmp_path / "log").read_text().split() == ["created", "created", "deleted"]


def test_nothing_runs_in_a_preview_and_its_outputs_are_unknown(project: Project, tmp_path: Path) -> None:
    said = project.preview(f"""
        command = local.Command("it", create="touch {tmp_path}/ran; echo x")
        local.Command("after", create=command.stdout.apply(lambda text: "touch {tmp_path}/never-" + text))
        command.stdout.apply(lambda text: open("{tmp_path}/known", "w").write(text))
    """)
    assert "2 to create" in said or "3 to create" in said
    assert not list(tmp_path.glob("*ran")) and not (tmp_path / "known").exists()


def test_a_failing_command_fails_the_resource_with_its_status_and_output(project: Project) -> None:
    said = project.up('local.Command("it", create="echo on-out; echo on-err >&2; exit 3")', succeeds=False)
    assert "exit status 3" in said and "on-err" in said and "on-out" in said
    assert project.resource("it") is None


def test_a_failing_delete_keeps_the_resource(project: Project) -> None:
    project.up('local.Command("it", create="true", delete="test -e ok")')
    assert "exit status 1" in project.pulumi("destroy", "--yes", "--skip-preview", succeeds=False).stdout
    assert project.resource("it")
    project.up('local.Command("it", create="true", delete="true")')
    project.destroy()
    assert project.resource("it") is None


def test_stdin_dir_environment_interpreter(project: Project, tmp_path: Path) -> None:
    project.up(
        f"""
        def shown(name, **inputs):
            pulumi.export(name, local.Command(name, **inputs).stdout)

        shown("stdin", create="cat", stdin="line 1\\nline 2")
        shown("nothing", create="cat")
        shown("dir", create="pwd", dir="{tmp_path}")
        shown("here", create="pwd")
        shown("environment", create="echo $A-$INHERITED", environment={{"A": "1"}})
        shown("interpreter", create="print(6*7)", interpreter=["{sys.executable}", "-c"])
        """,
        INHERITED="yes",
    )
    assert project.outputs() == {
        "stdin": "line 1\nline 2",
        "nothing": "",
        "dir": str(tmp_path),
        "here": str(project.folder),
        "environment": "1-yes",
        "interpreter": "42",
    }


def test_one_newline_at_the_end_is_cut_off_and_no_more(project: Project) -> None:
    project.up(r"""
        command = local.Command("it", create="printf 'a\n\n'; printf 'e' >&2")
        pulumi.export("stdout", command.stdout)
        pulumi.export("stderr", command.stderr)
    """)
    assert project.outputs() == {"stdout": "a\n", "stderr": "e"}


def test_previous_output_can_be_kept_out_of_the_environment(project: Project, tmp_path: Path) -> None:
    project.up(f"""
        show = "echo 'it was '$PULUMI_COMMAND_STDOUT > {tmp_path}/log"
        local.Command("it", create="echo x", delete=show, add_previous_output_in_env=False)
    """)
    project.destroy()
    assert (tmp_path / "log").read_text() == "it was \n"


def test_without_create_nothing_runs_until_the_delete(project: Project, tmp_path: Path) -> None:
    project.up(f'pulumi.export("stdout", local.Command("it", delete="touch {tmp_path}/deleted").stdout)')
    assert project.outputs() == {"stdout": ""}
    project.destroy()
    assert (tmp_path / "deleted").exists()


def test_secret_inputs_stay_secret_and_what_a_command_prints_does_not(project: Project) -> None:
    said = project.up("""
        command = local.Command(
            "it",
            create="echo got ${#PASSWORD} $SALT",
            environment={"PASSWORD": pulumi.Output.secret("hunter2"), "SALT": "open"},
            logging=local.Logging.NONE,
        )
        pulumi.export("stdout", command.stdout)
    """)
    state = "".join(file.read_text() for file in (project.folder / "state").rglob("*.json"))
    assert "hunter2" not in said and "hunter2" not in state
    assert "got 7 open" in said and "got 7 open" in state


def test_what_a_command_prints_is_secret_where_the_program_says_so(project: Project) -> None:
    said = project.up("""
        secret = pulumi.ResourceOptions(additional_secret_outputs=["stdout"])
        command = local.Command("it", create="echo got hunter2 | tr 2 3", logging=local.Logging.NONE, opts=secret)
        pulumi.export("stdout", command.stdout)
    """)
    assert project.outputs() == {"stdout": "got hunter3"}
    state = "".join(file.read_text() for file in (project.folder / "state").rglob("*.json"))
    assert "hunter3" not in said and "hunter3" not in state


def test_what_a_command_prints_is_shown_unless_logging_says_not(project: Project) -> None:
    said = project.up("""
        local.Command("both", create="echo both-out; echo both-err >&2")
        local.Command("one", create="echo one-out; echo one-err >&2", logging=local.Logging.STDERR)
        local.Command("none", create="echo none-out; echo none-err >&2", logging=local.Logging.NONE)
    """)
    shown = {word for word in ("both-out", "both-err", "one-out", "one-err", "none-out", "none-err") if word in said}
    assert shown == {"both-out", "both-err", "one-err"}


def test_a_missing_dir_is_named(project: Project, tmp_path: Path) -> None:
    said = project.up(f'local.Command("it", create="true", dir="{tmp_path}/nowhere")', succeeds=False)
    assert f"{tmp_path}/nowhere" in said and "no such" in said


def test_refresh_and_a_second_up_change_nothing(project: Project) -> None:
    project.up('local.Command("it", create="echo x", triggers=[1, {"a": True}])')
    project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
