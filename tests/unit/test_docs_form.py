"""The form of README.md and docs/: prose at most 100 columns wide, links that lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from devkube import paths

WIDTH = 100
PAGES = [paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(paths.ROOT).as_posix() for page in PAGES]

CODE_SPAN = re.compile(r"(`+)(.+?)\1")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def lines_without_code(page: Path) -> Iterator[tuple[int, str]]:
    """Each line of a page with its number, without code blocks: those in fences, and those that are
    indented.
    """
    fence = ""
    before = ""
    indented = False
    in_list = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        marker = re.match(r"\s*(`{3,})", line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif marker:
            fence = marker[1]
        else:
            in_list = bool(re.match(r"\s*([-*]|\d+\.) ", line)) or (in_list and (not line or line[0] == " "))
            indented = line.startswith("    ") and not in_list and (indented or not before)
            if not indented:
                yield number, line
            before = line


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Each line that is neither code nor a row of a table (in a quotation either)."""
    for number, line in lines_without_code(page):
        if not line.lstrip("> ").startswith("|"):
            yield number, line


def breakable(line: str) -> bool:
    """Whether a line has a space at which it could be broken: one outside of commands and
    addresses.
    """
    unbroken = LINK.sub(lambda found: found[0].replace(" ", ""), line)
    unbroken = CODE_SPAN.sub(lambda found: found[0].replace(" ", ""), unbroken)
    return " " in re.sub(r"^\s*(([-*]|\d+\.|#+|>) )*\s*", "", unbroken).strip()


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found: dict[str, int] = {}
    names: set[str] = set()
    for _, line in lines_without_code(page):
        heading = re.match(r"#{1,6} +(.+?)\s*#*$", line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            names.add(f"{name}-{found[name]}" if name in found else name)
            found[name] = found.get(name, 0) + 1
    return names


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Each relative link of a page, outside of code, with its line's number."""
    for number, line in lines_without_code(page):
        for target in LINK.findall(CODE_SPAN.sub("", line)):
            if not re.match(r"[a-z][a-z0-9+.-]*:", target):
                yield number, target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_prose_is_at_most_100_columns_wide(page: Path) -> None:
    assert not [f"line {number}: {len(line)}" for number, line in prose(page) if len(line) > WIDTH and breakable(line)]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relative_link_leads_to_a_file_and_to_a_heading_that_it_has(page: Path) -> None:
    broken: list[str] = []
    for number, target in links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or not file.is_relative_to(paths.ROOT.resolve()):
            broken.append(f"line {number}: {target}: no such file in the project")
        elif anchor and anchor not in anchors(file):
            broken.append(f"line {number}: {target}: no such heading")
    assert not broken


def test_a_line_that_can_be_broken_is_told_from_one_that_can_not() -> None:
    assert breakable("two words")
    assert breakable("- two words")
    assert not breakable("- `one command with spaces`")
    assert not breakable("  [link](docs/a-page.md#a-heading).")
    assert not breakable("## Heading")


def test_code_and_tables_are_no_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n    code\n\n```\ncode\n```\n| a | b |\n> | a | b |\n- item\n\n    more of the item\n> said\n")
    assert [line for _, line in prose(page) if line] == ["text", "- item", "    more of the item", "> said"]


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# What is it?\n## `make up` was run first\n## [A link](a.md), and more\n## One\n## One\n```\n# no heading\n```\n")
    assert anchors(page) == {"what-is-it", "make-up-was-run-first", "a-link-and-more", "one", "one-1"}
