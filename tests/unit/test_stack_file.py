"""Stack files as dev/ reads them: the same settings as the engine sees, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ops.errors import UserError
from ops.stack_file import _EngineDumper, change, raw_config
from tests.unit.mocked_program import ROOT, dev_config

# What engine 3.258.0 hands to a program for the same words.
PLAIN = {
    "yes": "yes",
    "on": "on",
    "Off": "Off",
    "n": "n",
    "true": True,
    "False": False,
    "'true'": "true",
    "2024-01-01": "2024-01-01",
    "1:30": "1:30",
    "3": 3,
    "'3'": "3",
    "3.0": 3,
    "1.5": 1.5,
    "1e3": 1000,
    "010": 8,
    "0x10": 16,
    "1_0": 10,
    "5Gi": "5Gi",
    "~": None,
    "": None,
}


@pytest.mark.parametrize("word", PLAIN)
def test_plain_words_are_what_the_engine_takes_them_for(word: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(f"config:\n  storage-tiers:tiers:\n    value: {word}\n    on: 1\n")
    tiers = json.loads(raw_config(file)["storage-tiers:tiers"])
    assert tiers == {"value": PLAIN[word], "on": 1}
    assert type(tiers["value"]) is type(PLAIN[word])


def test_the_dev_stack_and_keys_without_the_project(tmp_path: Path) -> None:
    assert raw_config(ROOT / "Pulumi.dev.yaml") == dev_config()
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("\ufeffconfig:\r\n  protect: true\r\n  aws:region: x\r\n", encoding="utf-8", newline="")
    assert raw_config(file) == {"storage-tiers:protect": "true", "aws:region": "x"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config:\n  a:b:\n    kafka: 1\n    kafka: 2\n", ", line 4: not a Pulumi stack file: the key 'kafka' is already given in line 3."),
        ("config:\n\ta: 1\n", ", line 2: not a Pulumi stack file: found character '\\t' that cannot start any token."),
        ("config: []\n", ": not a Pulumi stack file: its settings are no mapping."),
        ("text\n", ": not a Pulumi stack file: its settings are no mapping."),
        ("a: 'open\n", ", line 2: not a Pulumi stack file: found unexpected end of stream."),
    ],
)
def test_what_is_no_stack_file(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as refused:
        raw_config(file)
    assert str(refused.value) == f"Pulumi.dev.yaml{message}\nIt is YAML with a `config:` mapping; see README.md."


def test_a_changed_file_says_the_rest_as_before_to_the_engine(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    lines = "".join(f"    - {word}\n" for word in PLAIN)
    file.write_text(
        f"config:\n  storage-tiers:adopt: # on node 1\n    on: 1\n    1:30: 2024-01-01\n    words:\n{lines}  aws:region: é\n", "utf-8"
    )
    before = raw_config(file)
    change(file, {"canary.image": "x", "adopt.kafka.0": "new", "protect": True})
    after = raw_config(file)
    adopt = json.loads(after.pop("storage-tiers:adopt"))
    assert adopt.pop("kafka") == {"0": "new"}
    assert adopt == json.loads(before.pop("storage-tiers:adopt"))
    assert after == {**before, "storage-tiers:canary": '{"image": "x"}', "storage-tiers:protect": "true"}


words = st.text(st.characters(min_codepoint=32, max_codepoint=126))


@given(st.recursive(st.none() | st.booleans() | st.integers() | words, lambda each: st.dictionaries(words, each), max_leaves=5))
@example({"0E0": "0E0"})
def test_what_is_written_is_read(value: Any) -> None:
    """Written by the engine's rules as well: PyYAML's own leave `0E0` without quotes, which is a number to the engine."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "Pulumi.dev.yaml"
        written = yaml.dump({"config": {"storage-tiers:x": {"value": value}}}, Dumper=_EngineDumper, allow_unicode=True)
        file.write_text(written, encoding="utf-8")
        assert json.loads(raw_config(file)["storage-tiers:x"])["value"] == value
