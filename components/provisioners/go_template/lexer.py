"""The words of a template of Go's text/template, and the constants in it.

Source: Go 1.26, text/template/parse/lex.go, and strconv for strings and numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator
from typing import NamedTuple


class TemplateError(ValueError):
    """A text that Go refuses as a template; the message says what is wrong in it."""


class Token(NamedTuple):
    """A word of a template: `kind` is itself for keywords and signs, `text` is as it is written."""

    kind: str
    text: str


_KEYWORDS = ("block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with")
_SPACE = " \t\r\n"
_WORD = re.compile(r"\w+")
# A run of what Go takes for a number at first; what is none among them, `number` refuses.
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_STRING = re.compile(r'"(?:\\[^\n]|[^"\\\n])*"')
_RAW_STRING = re.compile(r"`[^`]*`")
_CHARACTER = re.compile(r"'(?:\\[^\n]|[^'\\\n])*'")
_ESCAPE = (
    r"\\(?:[abfnrtv\\{quote}]|x[0-9a-fA-F]{{2}}|[0-3][0-7]{{2}}|u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]{{3}}|[dD][0-7][0-9a-fA-F]{{2}})"
    r"|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{{4}})"
)
_GOOD_STRING = re.compile('"(?:' + _ESCAPE.format(quote='"') + r'|[^"\\\n])*"')
_GOOD_CHARACTER = re.compile("'(?:" + _ESCAPE.format(quote="'") + r"|[^'\\\n])'")
_INTEGER = re.compile(r"([+-]?)(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL = re.compile(r"[+-]?0[xX](?=\.?_?[0-9a-fA-F])[0-9a-fA-F_]*\.?[0-9a-fA-F_]*[pP][+-]?[0-9][0-9_]*")


def tokens(text: str) -> list[Token]:
    """The words of a template, the last an `end of text`; raises TemplateError."""
    return [*_of_text(text), Token("end of text", "")]


def unquoted(token: Token) -> str:
    """The text that a string stands for, as it is written but for its quotes.

    Raises TemplateError for an escape that Go doesn't know.
    """
    if token.kind == "string" and not _GOOD_STRING.fullmatch(token.text):
        raise TemplateError(f"{token.text} has an escape that Go doesn't know")
    return token.text[1:-1]


def _of_text(text: str) -> Iterator[Token]:
    at = 0
    while True:
        start = text.find("{{", at)
        if start < 0:
            if at < len(text):
                yield Token("text", text[at:])
            return
        trimmed = text[start + 2 : start + 3] == "-" and text[start + 3 : start + 4] in (*_SPACE,)
        literal = text[at:start].rstrip(_SPACE) if trimmed else text[at:start]
        if literal:
            yield Token("text", literal)
        inside = start + (4 if trimmed else 2)
        if text.startswith("/*", inside):
            at = _after_comment(text, inside)
            continue
        yield Token("{{", "{{")
        at = yield from _of_action(text, inside)


def _after_comment(text: str, start: int) -> int:
    end = text.find("*/", start + 2)
    if end < 0:
        raise TemplateError("a comment without its end")
    closed = _right_delimiter(text, end + 2)
    if closed is None:
        raise TemplateError("`}}` has to follow the end of a comment")
    return closed


def _right_delimiter(text: str, at: int) -> int | None:
    """Where the text goes on after a `}}` that is here, perhaps with a trim marker."""
    if text[at : at + 1] in (*_SPACE,) and text.startswith("-}}", at + 1):
        at += 4
        return len(text) - len(text[at:].lstrip(_SPACE))
    return at + 2 if text.startswith("}}", at) else None


def _of_action(text: str, at: int) -> Generator[Token, None, int]:
    """The words between `{{` and `}}`; returns where the text goes on."""
    open_parentheses = 0
    while True:
        closed = _right_delimiter(text, at)
        if closed is not None:
            if open_parentheses:
                raise TemplateError("`(` without its `)`")
            yield Token("}}", "}}")
            return closed
        if at >= len(text):
            raise TemplateError("`{{` without its `}}`")
        token = _word(text, at)
        open_parentheses += (token.kind == "(") - (token.kind == ")")
        if open_parentheses < 0:
            raise TemplateError("`)` without its `(`")
        yield token
        at += len(token.text)


def _word(text: str, at: int) -> Token:
    first = text[at]
    if first in _SPACE:
        end = at + 1
        while text[end : end + 1] in (*_SPACE,) and _right_delimiter(text, end) is None:
            end += 1
        return Token("space", text[at:end])
    digit = "0" <= text[at + 1 : at + 2] <= "9"
    if first == "$" or (first == "." and not digit):
        return _field_or_variable(text, at)
    if first in "+-." or "0" <= first <= "9":
        return _number(text, at)
    if _is_letter(first):
        return _name(text, at)
    return _quoted(text, at) if first in "\"`'" else _sign(text, at)


def _sign(text: str, at: int) -> Token:
    sign = text[at : at + 2] if text[at] == ":" else text[at]
    if sign in ("=", "|", "(", ")", ":="):
        return Token(sign, sign)
    if sign[0] == ":" or not "\x20" < sign < "\x7f":
        raise TemplateError(f"the character {sign[0]!r} in an action")
    return Token("other", sign)


def _quoted(text: str, at: int) -> Token:
    pattern, kind = {'"': (_STRING, "string"), "`": (_RAW_STRING, "raw string"), "'": (_CHARACTER, "char constant")}[text[at]]
    found = pattern.match(text, at)
    if not found:
        raise TemplateError(f"`{text[at]}` without its end")
    if kind == "char constant" and not _GOOD_CHARACTER.fullmatch(found[0]):
        raise TemplateError(f"{found[0]} is not one character")
    return Token(kind, found[0])


def _field_or_variable(text: str, at: int) -> Token:
    end = _end_of_word(text, at + 1)
    _expect_end(text, end)
    word = text[at:end]
    if word == ".":
        return Token("dot", word)
    return Token("variable" if word[0] == "$" else "field", word)


def _name(text: str, at: int) -> Token:
    end = _end_of_word(text, at)
    _expect_end(text, end)
    word = text[at:end]
    if word in _KEYWORDS:
        return Token(word, word)
    return Token("bool" if word in ("true", "false") else "identifier", word)


def _is_letter(character: str) -> bool:
    """What Go has in names: letters, decimal digits and `_`."""
    return character == "_" or character.isalpha() or character.isdecimal()


def _end_of_word(text: str, at: int) -> int:
    while at < len(text) and _is_letter(text[at]):
        at += 1
    return at


def _expect_end(text: str, at: int) -> None:
    """A name ends at a space, at certain signs, or with the action."""
    if at < len(text) and text[at] not in f"{_SPACE}.,|:)(" and not text.startswith("}}", at):
        raise TemplateError(f"the character {text[at]!r} in a name")


def _number(text: str, at: int) -> Token:
    first = _scanned(text, at)
    if text[len(first) + at : len(first) + at + 1] in ("+", "-"):
        second = _scanned(text, at + len(first))
        if not second.endswith("i") or not _is_float(first) or not _is_float(second[:-1]):
            raise TemplateError(f"{first}{second} is no number")
        return Token("complex", first + second)
    if not _is_number(first):
        raise TemplateError(f"{first or text[at]} is no number")
    return Token("number", first)


def _scanned(text: str, at: int) -> str:
    found = _NUMBER.match(text, at)
    assert found  # it matches the empty text
    end = found.end()
    if end < len(text) and _is_letter(text[end]):
        raise TemplateError(f"{text[at : _end_of_word(text, end)]} is no number")
    return found[0]


def _is_number(text: str) -> bool:
    if text.endswith("i"):
        return _is_float(text[:-1])
    whole = _INTEGER.fullmatch(text)
    if whole:
        value = int(re.sub(r"^([+-]?)0(?=[0-7_])", r"\g<1>0o", text).replace("_", ""), 0)
        if -(2**63) <= value < 2**63 or (not whole[1] and value < 2**64):
            return True
    # A whole number too large for 64 bits would be a float: Go refuses it.
    return bool(re.search("[.eEpP]", text)) and _is_float(text)


def _is_float(text: str) -> bool:
    """What strconv.ParseFloat takes: no more than a float has room for."""
    if _HEXADECIMAL.fullmatch(text):
        return not re.search(r"_(?![0-9a-fA-F])|(?<![0-9a-fA-FxX])_", text)
    if re.search(r"_(?![0-9])|(?<![0-9])_", text):
        return False
    decimal = text.replace("_", "")
    try:
        return bool(_DECIMAL.fullmatch(decimal)) and math.isfinite(float(decimal))
    except ValueError:
        return False
