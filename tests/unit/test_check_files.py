"""Files as people and attackers have them: encodings, what is no manifest, what has no end."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from components.provisioners.__main__ import main
from components.provisioners.lint import driver as driver_rules
from components.provisioners.lint import nodes
from components.provisioners.lint.files import LARGEST_FILE, decoded
from components.provisioners.lint.manifests import read_manifests
from components.provisioners.lint.nodes import ManifestError, Plain, compose, plain
from components.provisioners.lint.reading import read_class
from tests.unit.mocked_program import ROOT

GOOD = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: bigger}  # größer
provisioner: rancher.io/local-path
reclaimPolicy: Retain
volumeBindingMode: WaitForFirstConsumer
"""


def run(*arguments: str, text: str | bytes = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["check", *arguments], input=text, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_the_encodings_of_shells_and_editors(encoding: str) -> None:
    for text in (GOOD, GOOD.replace("\n", "\r\n"), json.dumps(yaml.safe_load(GOOD))):
        status, output, _ = run("-", text=text.encode(encoding))
        assert (status, output.partition(" (")[0]) == (0, "bigger")


def test_utf_16_with_a_mark_of_the_other_end() -> None:
    assert decoded(b"\xfe\xff" + "a: b".encode("utf-16-be")) == "a: b"
    assert decoded(b"\xff\xfe" + "a: b".encode("utf-16-le")) == "a: b"


def test_json_has_characters_in_two_parts() -> None:
    document = {**yaml.safe_load(GOOD), "metadata": {"name": "a", "annotations": {"note": "\U0001f600 \\ud83d\\ude00"}}}
    text = json.dumps(document)
    assert "\\ud83d\\ude00" in text
    (found,) = read_manifests(decoded(text.encode())).classes
    assert found.manifest.annotations == {"note": "\U0001f600 \\ud83d\\ude00"}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
HOSTILE: dict[str, tuple[str, int, str]] = {
    "an alias that contains itself": ("kind: StorageClass\nparameters: &a\n  type: *a\n", 3, "part of what it stands for"),
    "a list that contains itself": ("kind: List\nitems: &a\n- kind: List\n  items: *a\n", 4, "part of what it stands for"),
    "a key that contains itself": ("? &a [*a]\n: b\n", 1, "part of what it stands for"),
    "brackets": ("[" * 50_000, 1, "deep"),
    "braces": ("{a: " * 50_000, 1, "deep"),
    "lists in lists": ("- " * 50_000, 1, "deep"),
    "a stair": ("".join(f"{' ' * n}a:\n" for n in range(2_000)), nodes.DEEPEST + 1, "deep"),
    "aliases of aliases": (BOMB, 6, "divide the file"),
    "merged aliases": ("a: &a {b: c}\nd:\n" + "- {<<: *a}\n" * 100_000, 0, "divide the file"),
    "many values": ("a: [" + "b," * 200_000 + "]", 1, "divide the file"),
    "many documents": ("---\n" * 200_000, 0, "divide the file"),
    "many directives": ("".join(f"%TAG !a{n}! x\n" for n in range(1_000)) + "--- a", 0, "%TAG"),
    "an unknown alias": ("a: b\nc: *d\n", 2, "stands for nothing"),
    "an open bracket": ("a: b\nc: [d\n", 3, "not YAML"),
    "a tab": ("a:\n\tb: c\n", 2, "not YAML"),
    "a control character": ("a: b\nc: \x07\n", 2, "U+0007"),
    "a list as a key": ("a: b\n? [c]\n: d\n", 2, "a list or a mapping"),
    "no key": ("a: b\n~: d\n", 2, "an empty key"),
    "a merge of a text": ("a: b\n<<: c\n", 2, "`<<`"),
    "a template of Helm": ("a: b\n{{- if .Values.a }}\nc: d\n{{- end }}\n", 3, "not YAML"),
    "no object": ("a: b\nkind: StorageClass\n---\njust words\n", 4, "not a Kubernetes manifest"),
    "a part of a list that is none": ("kind: List\nitems:\n- kind: StorageClass\n- words\n", 4, "not a Kubernetes manifest"),
    "digits without an end": (f"kind: 1{'0' * 300}", 1, "not a Kubernetes manifest"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_hostile_or_broken_is_one_error_with_its_line(case: str, tmp_path: Path) -> None:
    text, line, says = HOSTILE[case]
    file = tmp_path / "classes.yaml"
    file.write_text(text)
    status, output, told = run(str(file))
    assert (status, output) == (2, "")
    assert told.startswith(f"Error: {file}:{line}: " if line else f"Error: {file}:")
    assert says in told
    assert told.count("\n") == 1
    (refused,) = json.loads(run("--json", str(file))[1])["unreadable"]
    assert refused["file"] == str(file)
    assert says in refused["problem"]
    assert line in (refused["line"], 0)
    assert run("--fix", str(file))[:2] == (2, "")


def test_the_work_for_a_file_is_bounded() -> None:
    """Whatever a text is, no more is made of it than its bound of parts, each in constant time."""
    made = 0
    with pytest.raises(ManifestError):
        for made, _ in enumerate(compose("- a\n---\n" * nodes.MOST_NODES)):  # noqa: B007
            pass
    assert made < nodes.MOST_NODES


def limited() -> None:
    """No more than 512 MiB of addresses, of which Python and its modules take the most."""
    resource.setrlimit(resource.RLIMIT_AS, (512 * 2**20, 512 * 2**20))


MEMORY = (
    "import pathlib, re\n"
    "from components.provisioners.__main__ import main\n"
    "try:\n    main()\nfinally:\n    print(re.search('VmHWM: *\\t* *([0-9]+) kB', pathlib.Path('/proc/self/status').read_text())[1])\n"
)


@pytest.mark.parametrize(
    ("driver", "parameters", "least"),
    [
        ("ebs.csi.aws.com", {f"tagSpecification_{number}": "wrong" for number in range(500)}, 100),
        ("ebs.csi.aws.com", {f"strange{number}": "x" for number in range(500)}, 100),
        ("pd.csi.storage.gke.io", {"storage-pools": "x," * 50_000}, 2),
        ("pd.csi.storage.gke.io", {"labels": ",".join(f"A{number}=b" for number in range(20_000))}, 1),
    ],
    ids=["tags", "unknown", "pools", "labels"],
)
def test_the_work_for_a_class_is_bounded(driver: str, parameters: dict[str, str], least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many or long wrong parameters aren't each held against all the others."""
    characters = 0

    def counted(provisioner: Any, manifest: Any) -> Any:
        nonlocal characters
        characters += sum(len(value) for value in manifest.parameters.values())
        return read_class(provisioner, manifest)

    monkeypatch.setattr(driver_rules, "read_class", counted)
    document = {**yaml.safe_load(GOOD), "provisioner": driver, "parameters": parameters}
    status, output, _ = run("-", text=yaml.safe_dump(document))
    assert status == 1
    assert output.count("error") > least
    assert characters < 10_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells the most memory that a process had since it began")
@pytest.mark.parametrize("case", ["brackets", "aliases of aliases", "many values", "many documents", "a long text", "no end", "noise"])
def test_hostile_files_take_less_than_200_mb(case: str, tmp_path: Path) -> None:
    file = tmp_path / "classes.yaml"
    big = {"a long text": b"a: " + b"x" * (LARGEST_FILE - 3), "noise": bytes(range(256)) * 2**14}
    if case == "no end":
        file = Path("/dev/zero")
    else:
        file.write_bytes(big[case] if case in big else HOSTILE[case][0].encode())
    command = [sys.executable, "-c", MEMORY, "check", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limited, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {file}")
    assert "Traceback" not in done.stderr
    assert int(done.stdout) < 200_000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no StorageClass in it"),
        (b"\n# nothing\n", "no StorageClass in it"),
        (b"\xff\xfe", "no StorageClass in it"),
        (b"a: b\nc: \xe4\n", ":2: no text: UTF-8 has no such bytes as e4"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "U+"),
        (b"\xff\xfea", "no text: UTF-16-LE"),
        (b"\x80\x81", ":1: no text"),
        (b"a" * (LARGEST_FILE + 1), "more than 8 MiB"),
    ],
)
def test_what_is_no_text(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "classes.yaml"
    file.write_bytes(content)
    status, output, told = run(str(file))
    assert (status, output) == (2, "")
    assert says in told


def test_what_is_no_file(tmp_path: Path) -> None:
    for name, says in ((str(tmp_path), "a folder"), (str(tmp_path / "missing"), "No such file"), ("a\0b", "null")):
        status, output, told = run(name)
        assert (status, output) == (2, "")
        assert says in told


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused_in_words(content: bytes) -> None:
    status, _, told = run("-", text=content)
    assert status == 2
    assert told.startswith("Error: -")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((word, True) for word in ("true", "True", "yes", "on", "y", "Y")),
        *((word, False) for word in ("false", "FALSE", "no", "off", "n")),
        *((word, None) for word in ("", "~", "null", "Null")),
        *(
            ("010", 8),
            ("0x1F", 31),
            ("0b11", 3),
            ("0o17", 15),
            ("1_000", 1000),
            ("+1", 1),
            ("-1", -1),
            ("1e3", 1000),
            (".5", 0.5),
            ("1.5", 1.5),
        ),
        *((word, word) for word in ("2001-01-01", "1:30", "0o8", "08x", "tRue", "nUll", "1.2.3", "16k", "-", ".", "yEs", "0x")),
    ],
)
def test_a_word_is_what_kubectl_reads(word: str, value: object) -> None:
    assert plain(word) == value
    assert type(plain(word)) is type(value)


def document(text: str) -> tuple[Any, list[tuple[Any, int, int]]]:
    (root,) = compose(text)
    reader = Plain()
    return reader.of(root), [(each.place, each.first.line, each.last.line) for each in reader.twice]


def test_anchors_and_merges_are_read() -> None:
    text = "a: &a {x: 1, w: 2}\nb: {<<: *a, w: 3}\nc:\n  w: 4\n  <<: [*a, {z: 5, x: 6}]\nd: *a\n"
    assert document(text) == ({"a": {"x": 1, "w": 2}, "b": {"x": 1, "w": 3}, "c": {"w": 4, "x": 1, "z": 5}, "d": {"x": 1, "w": 2}}, [])


def test_a_key_that_is_there_twice_is_told_with_both_lines() -> None:
    assert document("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 4\n") == ({"a": 4, "b": {"c": 3, "d": 2}}, [(("b", "c"), 3, 5), (("a",), 1, 6)])
    status, output, _ = run("-", text=GOOD + 'parameters:\n  nodePath: /a\n  "nodePath": /b\nreclaimPolicy: Delete\n')
    assert status == 1
    words = " ".join(output.split())
    assert "there twice, in lines 8 and 9" in words
    assert "there twice, in lines 5 and 10" in words


def test_keys_are_texts_whatever_yaml_reads() -> None:
    assert document("1: a\ntrue: b\n1.5: c\n'no': d\n2001-01-01: e\n") == (
        {"1": "a", "true": "b", "1.5": "c", "no": "d", "2001-01-01": "e"},
        [],
    )


class TestStatus:
    bad = GOOD.replace("Retain", "retain")
    unknown = GOOD.replace("rancher.io/local-path", "nfs.csi.k8s.io")
    other = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: b}\n"

    @pytest.mark.parametrize(
        ("texts", "status"),
        [
            ([GOOD], 0),
            ([GOOD.replace("Retain", "Delete")], 0),  # a warning
            ([bad], 1),
            ([unknown], 3),
            ([GOOD, unknown], 3),
            ([unknown, bad], 1),
            ([unknown.replace("Retain", "retain")], 1),
            ([GOOD, "a: ["], 2),
            ([bad, "a: ["], 2),
            ([GOOD, other], 0),
            ([other], 2),
        ],
    )
    def test_of_several_files(self, texts: list[str], status: int, tmp_path: Path) -> None:
        files = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        names = [str(file) for file in files]
        assert run(*names)[0] == status
        json_status, output, _ = run("--json", *names)
        assert (json_status, json.loads(output)["status"]) == (status, status)
        assert run("--fix", *names)[0] == (0 if status == 1 and texts == [self.bad] else 3 if status == 1 else status)

    def test_each_finding_names_its_file_and_line(self, tmp_path: Path) -> None:
        files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
        for file in files:
            file.write_text(f"{self.other}---\n{self.bad}")
        found = json.loads(run("--json", *map(str, files))[1])
        assert [(each["file"], each["line"]) for each in found["classes"]] == [(str(file), 5) for file in files]
        assert [
            (each["path"], each["line"]) for report in found["classes"] for each in report["findings"] if each["severity"] == "error"
        ] == [("reclaimPolicy", 9)] * 2
        assert found["ignored"] == ["ConfigMap b"] * 2

    def test_a_class_of_another_group_is_somebody_elses(self) -> None:
        status, _, told = run("-", text=GOOD.replace("storage.k8s.io/v1", "storage.example.com/v1"))
        assert status == 2
        assert "there is StorageClass bigger" in told
