"""What local-path-provisioner makes of a pathPattern, and where its folders are found again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.provisioners.go_template import TemplateError
from components.provisioners.local_path.parameters import LocalPathParameters
from components.provisioners.local_path.path_pattern import read_pattern

BEGINNING = "{{ .PVC.Namespace }}/{{ .PVC.Name }}/"

# A pattern: whether every claim's path begins as it has to, and where a claim's folders are.
READ: dict[str, tuple[bool | None, str]] = {
    BEGINNING: (True, "data/web"),
    "{{.PVC.Namespace}}/{{.PVC.Name}}/{{.PVName}}": (True, "data/web/*"),
    "{{- $.PVC.Namespace -}} / {{- .PVC.Name }}/x": (True, "data/web/x"),
    f"{BEGINNING}a//{{{{ .PVC.Labels.team }}}}-[b]": (True, "data/web/a/*-[[]b]"),
    f"{BEGINNING}{{{{ if .PVName }}}}a{{{{ end }}}}/b": (True, "data/web/*"),
    "{{/* a note */}}" + BEGINNING: (True, "data/web"),
    "{{ .PVC.Namespace }}/{{ .PVC.Name }}": (False, "data/web"),
    "{{ .PVC.Name }}/{{ .PVC.Namespace }}/": (False, "web/data"),
    f"/{BEGINNING}": (False, "data/web"),
    "x{{ .PVC.Namespace }}/{{ .PVC.Name }}/": (False, "xdata/web"),
    "a/b/{{ len .PVName }}": (False, "a/b/*"),
    "{{ printf `%s/%s/` .PVC.Namespace .PVC.Name }}": (None, "*"),
    "{{ .PVC.Namespace }}{{ print `/` }}{{ .PVC.Name }}/": (None, "data*web"),
}


@pytest.mark.parametrize("pattern", READ)
def test_how_a_path_begins_and_where_it_is(pattern: str) -> None:
    read = read_pattern(pattern)
    assert (read.begins, read.glob("data", "web")) == READ[pattern]


@pytest.mark.parametrize(
    "pattern",
    [
        "{{",
        "{{ }}",
        "{{ .PVName",
        "{{ upper .PVName }}",
        "{{ .Name }}",
        "{{ .PVC.Nam }}",
        "{{ .PVName.x }}",
        "{{ template `x` }}",
        "{{ if . }}",
    ],
)
def test_what_go_fails_on_is_no_pattern(pattern: str) -> None:
    with pytest.raises(TemplateError):
        read_pattern(BEGINNING + pattern)


@pytest.mark.parametrize("pattern", [pattern for pattern, (begins, _) in READ.items() if begins])
def test_settings_take_what_the_provisioner_takes(pattern: str) -> None:
    assert LocalPathParameters.model_validate({"pathPattern": pattern}).path_pattern == pattern


@pytest.mark.parametrize("pattern", [*(pattern for pattern, (begins, _) in READ.items() if not begins), f"{BEGINNING}..", ""])
def test_settings_refuse_every_other(pattern: str) -> None:
    with pytest.raises(ValidationError):
        LocalPathParameters.model_validate({"pathPattern": pattern})


@settings(deadline=None)
@given(st.lists(st.sampled_from(["{{", "}}", " ", "/", "..", ".PVC", ".Name", ".Namespace", "if", "end", "-", "*", "$", "a"]), max_size=12))
def test_any_text_is_read_or_refused(parts: list[str]) -> None:
    try:
        read = read_pattern("".join(parts))
    except TemplateError:
        return
    assert read.begins in (True, False, None)
    assert isinstance(read.glob("data", "web"), str)
