"""The texts and actions of a template, and the blocks that these begin."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from components.provisioners.go_template.lexer import TemplateError, tokens, unquoted
from components.provisioners.go_template.pipelines import Dot, Pipelines, unexpected

# The functions that text/template has by itself (funcs.go, builtins).
BUILT_IN = frozenset(
    {
        *("and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or"),
        *("print", "printf", "println", "slice", "urlquery"),
    }
)


class GoTemplate(NamedTuple):
    """What a template names.

    `fields` are those of the data, as in `.PVC.Name`, without the first dot.
    `inner_fields` are those of a value that `with` or `range` has made the dot.
    `calls` are the functions, each with the number of its arguments, a piped one among them.
    `given` are operands that get arguments and are no functions: Go fails on these at a value.
    `undefined` are the names of templates that it uses and doesn't define.
    `text` is what is outside of all actions and blocks, so that it is in every result.
    """

    fields: tuple[str, ...]
    inner_fields: tuple[str, ...]
    calls: tuple[tuple[str, int], ...]
    given: tuple[str, ...]
    undefined: tuple[str, ...]
    text: str


def parse(text: str, functions: Collection[str] = BUILT_IN) -> GoTemplate:
    """What `text` names; raises TemplateError for what Go refuses with these functions.

    Also for blocks and parentheses that are nested more than a hundred deep.
    """
    return _Blocks(tokens(text), functions).template()


class _Blocks(Pipelines):
    """Goes through the texts and actions of a template, and the blocks that these begin."""

    def template(self) -> GoTemplate:
        empty = True
        while self.peek().kind != "end of text":
            start = self.at
            if self.next().kind == "{{" and self.next_word().kind == "define":
                self.definition()
                continue
            self.at = start
            closing, blank = self.item()
            if closing:
                raise TemplateError(f"`{{{{ {closing} }}}}` without a block that it belongs to")
            empty = empty and blank
        self.define("tmpl", empty=empty)
        found = self.found
        return GoTemplate(
            fields=tuple(dict.fromkeys(found.fields)),
            inner_fields=tuple(dict.fromkeys(found.inner_fields)),
            calls=tuple(found.calls),
            given=tuple(found.given),
            undefined=tuple(name for name in dict.fromkeys(found.used) if name not in found.defined),
            text="".join(found.text),
        )

    def define(self, name: str, *, empty: bool) -> None:
        """A template of this name; one that isn't empty may be defined once."""
        if name not in self.found.defined or self.found.defined[name]:
            self.found.defined[name] = empty
        elif not empty:
            raise TemplateError(f"two templates are named {name}")

    def definition(self) -> None:
        name = unquoted(self.expect("string", "raw string", where="a definition"))
        self.expect("}}", where="a definition")
        with self.body(dot="unknown", dollar="unknown"), self.own_variables():
            closing, empty = self.items()
        if closing != "end":
            raise TemplateError("`{{ else }}` in a definition")
        self.define(name, empty=empty)

    @contextmanager
    def own_variables(self) -> Iterator[None]:
        """For what is a template of its own: it sees no variable of others, and no loop."""
        before, self.variables = (self.variables, self.ranges), ["$"]
        self.ranges = 0
        yield
        self.variables, self.ranges = before

    @contextmanager
    def body(self, dot: Dot, dollar: Dot | None = None) -> Iterator[None]:
        """For what is inside of a block."""
        before = self.dot, self.dollar
        self.dot, self.dollar = dot, dollar or self.dollar
        with self.deeper():
            yield
        self.dot, self.dollar = before

    def items(self) -> tuple[str, bool]:
        """All up to `end` or `else`: which of them it was, and whether there was nothing before."""
        empty = True
        while self.peek_word().kind != "end of text":
            closing, blank = self.item()
            if closing:
                return closing, empty
            empty = empty and blank
        raise TemplateError("a block without its `{{ end }}`")

    def item(self) -> tuple[str, bool]:
        """A text or an action: `end` or `else` for these, and whether it is nothing but space."""
        token = self.next_word()
        if token.kind == "text":
            if not self.depth:
                self.found.text.append(token.text)
            return "", not token.text.strip()
        if token.kind != "{{":
            raise unexpected(token, "the text")
        return self.action(), False

    def action(self) -> str:
        """What is between `{{` and `}}`, and the block that it begins.

        Returns `end` or `else` for these.
        """
        kind = self.next_word().kind
        match kind:
            case "end":
                self.expect("}}", where="end")
                return "end"
            case "else":
                if self.peek_word().kind not in ("if", "with"):
                    self.expect("}}", where="else")
                return "else"
            case "if" | "with" | "range":
                self.control(kind)
            case "break" | "continue":
                self.expect("}}", where=kind)
                if not self.ranges:
                    raise TemplateError(f"`{kind}` outside of a `range`")
            case "template":
                self.found.used.append(unquoted(self.expect("string", "raw string", where="template")))
                if self.next_word().kind != "}}":
                    self.at -= 1
                    self.pipeline("template")
            case "block":
                self.block()
            case _:
                self.at -= 1
                self.pipeline("the action")
        return ""

    def block(self) -> None:
        name = unquoted(self.expect("string", "raw string", where="block"))
        whole = self.pipeline("block")
        dot: Dot = "data" if whole and self.stands_for(whole) == "data" else "unknown"
        with self.body(dot=dot, dollar=dot), self.own_variables():
            closing, empty = self.items()
        if closing != "end":
            raise TemplateError("`{{ else }}` in a block clause")
        self.define(name, empty=empty)

    def control(self, kind: str) -> None:
        """`if`, `with` or `range`, up to its `end`; `else if` and `else with` share theirs."""
        known = len(self.variables)
        operand = self.pipeline(kind)
        same = kind == "if" or (kind == "with" and operand is not None and self.stands_for(operand) == "data")
        inside: Dot = self.dot if kind == "if" else "data" if same else "unknown" if self.dot == "unknown" else "value"
        self.ranges += kind == "range"
        with self.body(dot=inside):
            closing, _ = self.items()
        self.ranges -= kind == "range"
        if closing == "else":
            with self.deeper():
                if kind != "range" and self.peek().kind == kind:
                    self.next()
                    self.control(kind)
                elif self.items()[0] != "end":
                    raise TemplateError("`{{ else }}` twice in one block")
        del self.variables[known:]
