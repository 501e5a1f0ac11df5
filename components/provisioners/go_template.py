"""Reads templates as Go's text/template does, as far as it can be known without executing one.

Drivers take such templates in parameters: the tags of EBS, the pathPattern of local-path.
A template that Go refuses fails when the first volume is made, or is taken for another.

Source: Go 1.26, text/template/parse (lex.go, parse.go, node.go) and funcs.go.
tests/oracles holds it against Go itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from components.provisioners.go_lexer import TemplateError, Token, tokens, unquoted

__all__ = ["BUILT_IN", "GoTemplate", "TemplateError", "parse"]

# The functions that text/template has by itself (funcs.go, builtins).
BUILT_IN = frozenset(
    {
        *("and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or"),
        *("print", "printf", "println", "slice", "urlquery"),
    }
)
# Go takes 10,000 parentheses, and any number of other blocks.
_DEEPEST = 100

_TERMS = ("bool", "char constant", "complex", "dot", "field", "identifier", "number", "nil", "raw string", "string", "variable", "(")

# What the dot, or `$`, stands for: the data itself, something else that is a value of it, or what
# only the caller of a template knows.
_Dot = Literal["data", "value", "unknown"]


@dataclass(frozen=True)
class GoTemplate:
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
    return _Parser(tokens(text), functions).template()


@dataclass
class _Found:
    fields: list[str] = field(default_factory=list)
    inner_fields: list[str] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    defined: dict[str, bool] = field(default_factory=dict)  # by name: whether it is empty
    text: list[str] = field(default_factory=list)


@dataclass
class _Operand:
    """A term with its fields. `kind` is that of its token, or `(`, or `chain`."""

    kind: str
    text: str


class _Parser:
    """Goes through the tokens once; `at` is the next one."""

    def __init__(self, read: list[Token], functions: Collection[str]) -> None:
        self.tokens = read
        self.at = 0
        self.functions = functions
        self.found = _Found()
        self.variables = ["$"]
        self.dot: _Dot = "data"
        self.dollar: _Dot = "data"
        self.ranges = 0
        self.depth = 0

    # --- tokens ---

    def next(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def peek(self) -> Token:
        return self.tokens[self.at]

    def next_word(self) -> Token:
        """The next token that is no space."""
        while self.peek().kind == "space":
            self.at += 1
        return self.next()

    def peek_word(self) -> Token:
        token = self.next_word()
        self.at -= 1
        return token

    def expect(self, *kinds: str, where: str) -> Token:
        token = self.next_word()
        if token.kind not in kinds:
            raise _unexpected(token, where)
        return token

    # --- blocks ---

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
    def body(self, dot: _Dot, dollar: _Dot | None = None) -> Iterator[None]:
        """For what is inside of a block."""
        before = self.dot, self.dollar
        self.dot, self.dollar = dot, dollar or self.dollar
        with self.deeper():
            yield
        self.dot, self.dollar = before

    @contextmanager
    def deeper(self) -> Iterator[None]:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise TemplateError(f"blocks or parentheses more than {_DEEPEST} deep")
        yield
        self.depth -= 1

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
            raise _unexpected(token, "the text")
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
        dot: _Dot = "data" if whole and self.stands_for(whole) == "data" else "unknown"
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
        inside: _Dot = self.dot if kind == "if" else "data" if same else "unknown" if self.dot == "unknown" else "value"
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

    def stands_for(self, operand: _Operand) -> _Dot:
        """What an operand without fields is: the data for a dot or `$` that is."""
        if operand.kind == "dot":
            return self.dot
        return self.dollar if (operand.kind, operand.text) == ("variable", "$") else "value"

    # --- what stands in an action ---

    def pipeline(self, where: str, end: str = "}}") -> _Operand | None:
        """Declarations, then commands with `|` between, up to `end`.

        Returns the operand where it is all that there is.
        """
        self.declarations(where)
        commands: list[list[_Operand]] = []
        while (token := self.next_word()).kind != end:
            if token.kind not in _TERMS:
                raise _unexpected(token, where)
            self.at -= 1
            commands.append(self.command())
        if not commands:
            raise TemplateError(f"nothing in {where}" if where != "the action" else "an action without anything in it, `{{ }}`")
        for number, command in enumerate(commands):
            if number and command[0].kind in ("bool", "dot", "nil", "number", "string"):
                raise TemplateError(f"`{command[0].text}` after a `|` is no function")
            self.called(command, piped=number > 0)
        return commands[0][0] if len(commands) == 1 and len(commands[0]) == 1 else None

    def declarations(self, where: str) -> None:
        """`$name :=`, `$name =`, or two of them in a range."""
        declared = 0
        while self.peek_word().kind == "variable":
            start, name = self.at, self.next_word().text
            following = self.peek_word()
            if following.kind in (":=", "="):
                self.next_word()
                self.variables.append(name)
                return
            if following.text != "," or following.kind != "other":
                self.at = start
                return
            self.next_word()
            self.variables.append(name)
            declared += 1
            if where != "range" or declared > 1 or self.peek_word().kind not in ("variable", "}}", ")"):
                raise TemplateError(f"too many variables in {where}")

    def called(self, command: list[_Operand], *, piped: bool) -> None:
        """Notes what a command calls, and with how many arguments."""
        first, arguments = command[0], len(command) - 1 + piped
        if first.kind == "identifier":
            self.found.calls.append((first.text, arguments))
        elif arguments or first.kind == "nil":
            self.found.given.append(first.text)
        self.found.calls.extend((each.text, 0) for each in command[1:] if each.kind == "identifier")

    def command(self) -> list[_Operand]:
        """Operands with spaces between, up to `|`, which is taken, or to the end of a pipeline."""
        operands: list[_Operand] = []
        while True:
            self.peek_word()
            operand = self.operand()
            if operand:
                operands.append(operand)
            token = self.next()
            if token.kind == "space":
                continue
            if token.kind in ("}}", ")"):
                self.at -= 1
            elif token.kind != "|":
                raise _unexpected(token, "an operand")
            if not operands:
                raise TemplateError("an empty command")
            return operands

    def operand(self) -> _Operand | None:
        """A term and the fields after it."""
        term = self.term()
        if term is None:
            return None
        names = []
        while self.peek().kind == "field":
            names.append(self.next().text)
        if names and term.kind in ("bool", "string", "number", "nil", "dot"):
            raise TemplateError(f"a field after `{term.text}`")
        path = "".join(names)
        if term.kind == "field":
            self.note_field(self.dot, term.text + path)
        elif term.kind == "variable" and term.text == "$" and path:
            self.note_field(self.dollar, path)
        kind = term.kind if not names or term.kind in ("field", "variable") else "chain"
        if kind == "chain" and term.kind == "identifier":
            self.found.calls.append((term.text, 0))
        return _Operand(kind, term.text + path)

    def note_field(self, dot: _Dot, path: str) -> None:
        if dot != "unknown":
            (self.found.fields if dot == "data" else self.found.inner_fields).append(path[1:])

    def term(self) -> _Operand | None:
        token = self.next_word()
        match token.kind:
            case "identifier":
                if token.text not in self.functions:
                    raise TemplateError(f"no function {token.text}")
            case "variable":
                if token.text not in self.variables:
                    raise TemplateError(f"no variable {token.text}")
            case "char constant" | "complex" | "number":
                return _Operand("number", token.text)
            case "string" | "raw string":
                unquoted(token)
                return _Operand("string", token.text)
            case "(":
                with self.deeper():
                    self.pipeline("parentheses", ")")
                return _Operand("(", "(…)")
            case "dot" | "nil" | "field" | "bool":
                pass
            case _:
                self.at -= 1
                return None
        return _Operand(token.kind, token.text)


def _unexpected(token: Token, where: str) -> TemplateError:
    return TemplateError(f"{token.kind if token.kind == 'end of text' else f'`{token.text}`'} in {where}")
