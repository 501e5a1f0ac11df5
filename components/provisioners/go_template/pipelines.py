"""What stands between `{{` and `}}`: commands with `|` between, their operands and variables."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from components.provisioners.go_template.lexer import TemplateError, Token, unquoted

# Go takes 10,000 parentheses, and any number of other blocks.
_DEEPEST = 100

_TERMS = ("bool", "char constant", "complex", "dot", "field", "identifier", "number", "nil", "raw string", "string", "variable", "(")

# What the dot, or `$`, stands for: the data itself, something else that is a value of it, or what
# only the caller of a template knows.
Dot = Literal["data", "value", "unknown"]


@dataclass
class NamedParts:
    """What a template names, in the order in which it is there (see GoTemplate)."""

    fields: list[str] = field(default_factory=list)
    inner_fields: list[str] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    defined: dict[str, bool] = field(default_factory=dict)  # by name: whether it is empty
    text: list[str] = field(default_factory=list)


@dataclass
class Operand:
    """A term with its fields. `kind` is that of its token, or `(`, or `chain`."""

    kind: str
    text: str


class Pipelines:
    """Goes through the tokens once, up to the end of an action; `at` is the next one.

    `found` is what it comes across.
    """

    def __init__(self, read: list[Token], functions: Collection[str]) -> None:
        self.tokens = read
        self.at = 0
        self.functions = functions
        self.found = NamedParts()
        self.variables = ["$"]
        self.dot: Dot = "data"
        self.dollar: Dot = "data"
        self.ranges = 0
        self.depth = 0

    def next(self) -> Token:
        """The next token."""
        token = self.tokens[self.at]
        self.at += 1
        return token

    def peek(self) -> Token:
        """The next token, which stays the next one."""
        return self.tokens[self.at]

    def next_word(self) -> Token:
        """The next token that is no space."""
        while self.peek().kind == "space":
            self.at += 1
        return self.next()

    def peek_word(self) -> Token:
        """The next token that is no space, which stays the next one."""
        token = self.next_word()
        self.at -= 1
        return token

    def expect(self, *kinds: str, where: str) -> Token:
        """The next token that is no space; raises TemplateError for one of another kind."""
        token = self.next_word()
        if token.kind not in kinds:
            raise unexpected(token, where)
        return token

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """For what is nested; raises TemplateError where it is too deep."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise TemplateError(f"blocks or parentheses more than {_DEEPEST} deep")
        yield
        self.depth -= 1

    def stands_for(self, operand: Operand) -> Dot:
        """What an operand without fields is: the data for a dot or `$` that is."""
        if operand.kind == "dot":
            return self.dot
        return self.dollar if (operand.kind, operand.text) == ("variable", "$") else "value"

    def pipeline(self, where: str, end: str = "}}") -> Operand | None:
        """Declarations, then commands with `|` between, up to `end`.

        Returns the operand where it is all that there is.
        """
        self.declarations(where)
        commands: list[list[Operand]] = []
        while (token := self.next_word()).kind != end:
            if token.kind not in _TERMS:
                raise unexpected(token, where)
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

    def called(self, command: list[Operand], *, piped: bool) -> None:
        """Notes what a command calls, and with how many arguments."""
        first, arguments = command[0], len(command) - 1 + piped
        if first.kind == "identifier":
            self.found.calls.append((first.text, arguments))
        elif arguments or first.kind == "nil":
            self.found.given.append(first.text)
        self.found.calls.extend((each.text, 0) for each in command[1:] if each.kind == "identifier")

    def command(self) -> list[Operand]:
        """Operands with spaces between, up to `|`, which is taken, or to the end of a pipeline."""
        operands: list[Operand] = []
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
                raise unexpected(token, "an operand")
            if not operands:
                raise TemplateError("an empty command")
            return operands

    def operand(self) -> Operand | None:
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
        return Operand(kind, term.text + path)

    def note_field(self, dot: Dot, path: str) -> None:
        """Notes a field of the data, or of a value of it."""
        if dot != "unknown":
            (self.found.fields if dot == "data" else self.found.inner_fields).append(path[1:])

    def term(self) -> Operand | None:
        """An operand without fields; None where there is none."""
        token = self.next_word()
        match token.kind:
            case "identifier":
                if token.text not in self.functions:
                    raise TemplateError(f"no function {token.text}")
            case "variable":
                if token.text not in self.variables:
                    raise TemplateError(f"no variable {token.text}")
            case "char constant" | "complex" | "number":
                return Operand("number", token.text)
            case "string" | "raw string":
                unquoted(token)
                return Operand("string", token.text)
            case "(":
                with self.deeper():
                    self.pipeline("parentheses", ")")
                return Operand("(", "(…)")
            case "dot" | "nil" | "field" | "bool":
                pass
            case _:
                self.at -= 1
                return None
        return Operand(token.kind, token.text)


def unexpected(token: Token, where: str) -> TemplateError:
    """That a token is where it can't be."""
    return TemplateError(f"{token.kind if token.kind == 'end of text' else f'`{token.text}`'} in {where}")
