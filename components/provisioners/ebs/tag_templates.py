"""Tags of EBS whose value is a template.

Sources: the driver's pkg/util/template and docs/tagging.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.provisioners.go_template import BUILT_IN, TemplateError, parse

# Of the driver's own, each with the number of its arguments; and those that it has turned off
# (pkg/util/template/funcs.go).
_ARGUMENTS = {"contains": 2, "toUpper": 1, "toLower": 1, "substring": 3, "field": 3, "index": 2, "lastIndex": 2}
TURNED_OFF = ("html", "js", "call", "urlquery")
FUNCTIONS = BUILT_IN | set(_ARGUMENTS)


def text_of(value: str) -> str:
    """What is in each tag that the template makes; raises TemplateError for what is no template."""
    return parse(value, FUNCTIONS).text


def template_faults(value: str, fields: Sequence[str]) -> Iterator[str]:
    """What the driver fails on in a tag's value that is a template; `fields` are those it has.

    Every field is a text.
    A branch that some claims alone come to may fail for these alone, and counts as well.
    """
    try:
        found = parse(value, FUNCTIONS)
    except TemplateError as problem:
        yield f"no template of Go, {problem}"
        return
    known = ", ".join(f".{each}" for each in fields)
    for field in found.fields:
        if field not in fields:
            yield f"no such field .{field}; there are {known}"
    for field in found.inner_fields:
        yield f".{field} inside of `with` or `range` is a field of that value, which has none: `$.{field}` is the tag's"
    for name in found.undefined:
        yield f"it uses a template {name}, and defines none"
    for operand in found.given:
        yield f"`{operand}` is no function, and takes no arguments"
    for name, number in found.calls:
        if name in TURNED_OFF:
            yield f"the driver has turned off the function {name}"
        elif _ARGUMENTS.get(name, number) != number:
            yield f"the function {name} takes {_ARGUMENTS[name]} arguments, not {number}"
