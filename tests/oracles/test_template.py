"""go_template.py against Go's text/template with the functions of the EBS driver."""

from __future__ import annotations

import random

import pytest

from components.provisioners.ebs.tag_rules import VOLUME_FIELDS
from components.provisioners.ebs.tag_templates import FUNCTIONS, template_faults
from components.provisioners.go_template import TemplateError, parse
from tests.oracles import ask

pytestmark = [pytest.mark.engine, pytest.mark.faults]

# Words of templates, whole and broken: the generator puts them side by side.
ACTIONS = """
    .PVCName|.PVCNamespace|.PVName|$.PVName|.PVCNam|PVCName|.|$|.PVCName.X|printf|toUpper .PVCName|.PVCName ¦ toUpper
    upper .PVCName|html .PVName|if .PVCName|if eq .PVCName "a"|else|else if .PVName|end|with .PVCName|with .
    else with .PVName|range .PVCName|range $i, $x := .PVName|break|continue|define "x"|template "x" .|template "x"
    block "y" .|$x := .PVCName|$x|$x = 1|$y, $z := 1|contains "prod" .PVCNamespace|field "-" 0 .PVCName
    .PVCNamespace ¦ field "-" 1 ¦ toUpper|substring 0 3 .PVName|len .PVCName|index "a" .PVName|(len .PVName)
    (.PVName).X|(|)|1 ¦ print|print 1 ¦ 2|print 0x1F|print 1_000|print 1_0.5|print 1.2_5e1_0|print 1._5|print 1_2i|print 0x1p1_0
    print 0x_1p-2|print 1e5|print 1e999
    print 99999999999999999999|print 08|print .5|print 1+2i|print 'a'|print 'ab'|print "\\n"|print "\\q"|print `x`
    print "x|nil|print nil|true|print true .X|/* note */|/* note|- .PVCName -|- /* x */ -|- 1|..X|.PVCName|toLower|not
    and .PVCName .PVName|or|printf "%s-%s" .PVName .PVCName|slice .PVName 1 2|call .PVName|js|:|:=|,|.PVCName,|print\t1
    é|.é|print é|%|"a"|"a".X
""".strip()


def words() -> list[str]:
    split = [word.strip(" ").replace("¦", "|") for line in ACTIONS.splitlines() for word in line.strip().split("|")]
    return [*split, " ", "\n"]


def made_up(seed: int, number: int) -> list[str]:
    """Seeded templates: balanced ones, and ones of any words with a letter lost here and there."""
    chance = random.Random(seed)
    known = words()
    found = []
    for _ in range(number):
        parts = []
        for _ in range(chance.randint(1, 4)):
            parts.append(chance.choice(("", "", "a-", " b ", "}}", "{ ")))
            word = chance.choice(known)
            blank = chance.choice(("", " ", " "))
            parts.append(f"{{{{{blank}{word}{blank}}}}}")
            if word.startswith(("if", "with", "range", "define", "block")) and chance.random() < 0.8:
                parts.append(chance.choice(("", "x", "{{ .PVName }}", "{{ $.PVName }}", "{{ else }}", "{{ break }}")) + "{{ end }}")
        text = "".join(parts)
        if chance.random() < 0.2:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice(("", " ", "(", "|", ".", "-", '"', "_", "0", "$x")) + text[at + 1 :]
        found.append(text)
    return found


def parsed(text: str) -> bool:
    try:
        parse(text, FUNCTIONS)
    except TemplateError:
        return False
    return True


def test_what_go_parses_is_parsed_and_what_it_refuses_is_refused(full: bool) -> None:
    templates = list(dict.fromkeys([*(f"{{{{ {word} }}}}" for word in words()), *made_up(12, 200_000 if full else 5_000)]))
    told = ask("template", templates)
    differing = [(text, answer["Said"]) for text, answer in zip(templates, told, strict=True) if parsed(text) is not answer["Parsed"]]
    assert not differing, differing[:10]
    assert min(sum(answer["Parsed"] for answer in told), sum(not answer["Parsed"] for answer in told)) > len(told) // 10


def test_no_tag_that_the_driver_takes_is_refused(full: bool) -> None:
    """A template with branches may fail for some claims alone, so that it is refused here."""
    templates = [text for text in made_up(21, 100_000 if full else 5_000) if not {"if", "with", "else", "and", "or"} & set(text.split())]
    told = ask("template", templates)
    refused = [
        (text, list(template_faults(text, VOLUME_FIELDS)))
        for text, answer in zip(templates, told, strict=True)
        if answer["Executed"] and list(template_faults(text, VOLUME_FIELDS))
    ]
    assert not refused, refused[:10]
