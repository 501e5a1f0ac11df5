"""The source's end of a move."""

from __future__ import annotations

import hashlib
import os
import threading

from .journal import marked
from .nodes import MARKER, Entry, TreeNode, at, check_flags, describe, of_source, signature, sizes, value_of, walk
from .reading import Reading, ahead
from .stream import OFFSET, VERSION, Input, Output, header, packed
from .voice import Failed, Voice

KNOWN = 16  # bytes


def _known(signature_of_file: list[int]) -> bytes:
    """A signature in few bytes."""
    return hashlib.blake2b(b"%r" % signature_of_file, digest_size=KNOWN).digest()


class Sender:
    """The source's end. `have` is what the target has already, by path."""

    def __init__(self, root: bytes, voice: Voice) -> None:
        self._root, self._voice = root, voice
        self._output = Output()
        self._input = Input().frames()
        self._have: dict[bytes, bytes] = {}  # as `_known` has it: there may be very many
        self._received = threading.Event()

    def run(self) -> None:
        """Send everything. Raises Failed."""
        move = marked(self._root)
        if move is not None:
            raise Failed("foreign", f"this is the target of a move that isn't finished ({move})", MARKER)
        self._voice.expect(sizes(self._root))
        for kind, value in self._input:
            if kind == b"G":
                break
            if kind == b"F":
                raise Failed("protocol", f"the target's end gave up: {value['reason']}")
            if kind == b"H" and value["version"] != VERSION:
                raise Failed("protocol", f"the target's end speaks version {value['version']}, this one {VERSION}")
            if kind == b"h":
                self._have.update((value_of("path", each), _known(each["signature"]) + bytes.fromhex(each["hash"])) for each in value)
        threading.Thread(target=self._listen, daemon=True).start()
        for node in ahead(self._root, walk(self._root, self._voice.failed, foreign=True), self._have):
            self._send(node)
        self._output.put(packed(b"Z", {"failures": self._voice.failures}))
        self._output.close()
        if not self._voice.failures:
            self._received.wait()  # `_listen` ends the program if nothing comes

    def _listen(self) -> None:
        try:
            for kind, value in self._input:
                if kind == b"R":
                    self._received.set()
                    return
                if kind == b"F":
                    raise Failed("protocol", f"the target's end gave up: {value['reason']}")
        except (Failed, OSError) as problem:
            if not self._voice.failures:  # else the target's end gives up because this one does
                self._voice.end(problem)

    def _send(self, node: TreeNode) -> None:
        try:
            entry = describe(self._root, node)
            if node.is_read:
                self._send_file(node, entry)
            else:
                self._output.put(packed(b"N", entry))
                if entry["kind"] == "directory":  # it was sent, so that what is in it is read, and named, too
                    fd = os.open(at(self._root, node.path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                    try:
                        check_flags(fd, node.path)
                    finally:
                        os.close(fd)
        except (Failed, OSError) as problem:
            failed = problem if isinstance(problem, Failed) else of_source(problem, node.path)
            if failed.kind == "protocol":
                raise failed from None
            self._voice.failed(failed)
            return
        self._voice.say("entry", **entry)

    def _send_file(self, node: TreeNode, entry: Entry) -> None:
        with Reading(self._root, node, entry) as reading:
            sent = {**entry, "holes": []}  # the data tell of them, and a frame has room for so many
            there = self._have.get(node.path)
            if there and there.startswith(_known(signature(node.stat))):
                entry["hash"] = there[KNOWN:].hex()
                self._output.put(packed(b"S", sent))
                self._voice.add(node.stat.st_size, 1)
                return
            self._output.put(packed(b"B", sent))
            try:
                for offset, data, hole in reading.chunks():
                    if not hole:
                        self._output.put(header(b"D", OFFSET.size + len(data)) + OFFSET.pack(offset), data)
                    self._voice.add(len(data))
            except (Failed, OSError):
                self._output.put(packed(b"X", {}))
                raise
            self._output.put(packed(b"E", {"hash": entry["hash"], "signature": signature(node.stat)}))
            self._voice.add(0, 1)
