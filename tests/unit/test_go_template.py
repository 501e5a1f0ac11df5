"""What is read out of templates; that Go reads them in the same way is tests/oracles' matter."""

from __future__ import annotations

import pytest

from components.provisioners.go_template import TemplateError, parse


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("plain", ()),
        ("{{ .PVC.Namespace }}/{{.PVC.Name}}/{{- .PVName -}} x", ("PVC.Namespace", "PVC.Name", "PVName")),
        ("{{ $x := .A }}{{ $x }}{{ $.B }}", ("A", "B")),
        ("{{ with . }}{{ .A }}{{ end }}", ("A",)),
        ("{{ if .A }}{{ .B }}{{ else if .C }}{{ .D }}{{ end }}", ("A", "B", "C", "D")),
        ("{{ (printf .A).X }}", ("A",)),
        ("{{/* .A */}}", ()),
        ('{{ print "{{ .A }}" }}', ()),
    ],
)
def test_the_fields_of_the_data(text: str, fields: tuple[str, ...]) -> None:
    assert parse(text).fields == fields


def test_what_else_a_template_names() -> None:
    found = parse('a {{ with .A }}b{{ .B }}{{ end }} c{{ print .C | printf "%s" }}{{ template "x" . }}{{ .D 1 }}')
    assert found.inner_fields == ("B",)
    assert found.calls == (("print", 1), ("printf", 2))
    assert found.undefined == ("x",)
    assert found.given == (".D",)
    assert found.text == "a  c"


def test_the_text_that_trim_markers_leave() -> None:
    assert parse("a  {{- .A -}}  b {{ .B }} c").text == "ab  c"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ }}", "an action without anything in it"),
        ("{{ .A", "`{{` without its `}}`"),
        ("{{ A }}", "no function A"),
        ("{{ $x }}", "no variable $x"),
        ("{{ if .A }}", "a block without its `{{ end }}`"),
        ("{{ end }}", "`{{ end }}` without a block"),
        ("{{ if .A }}{{ else }}{{ else }}{{ end }}", "twice in one block"),
        ("{{ (.A }}", "`(` without its `)`"),
        ("{{ .A) }}", "`)` without its `(`"),
        ('{{ "a }}', "without its end"),
        ('{{ "\\q" }}', "an escape that Go doesn't know"),
        ("{{/* a }}", "a comment without its end"),
        ("{{ .A-b }}", "the character '-' in a name"),
        ("{{ break }}", "outside of a `range`"),
        ("{{ 99999999999999999999 }}", "is no number"),
        ("{{ if .A }}" * 5000, "more than 100 deep"),
        ("{{ " + "(" * 5000, "without its"),
    ],
)
def test_what_go_refuses(text: str, says: str) -> None:
    with pytest.raises(TemplateError) as raised:
        parse(text)
    assert says in str(raised.value)


def test_a_long_text_is_read_at_once() -> None:
    assert len(parse("{{ .A }} b " * 20_000).text) == 60_000
