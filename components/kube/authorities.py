"""Which authorities' certificates are trusted, as kubectl and Pulumi's plugins see it.

Those that a kubeconfig names are all that count for its cluster. Without any the machine's own do:
on Linux Go reads them from files, and SSL_CERT_FILE and SSL_CERT_DIR name others (Go's crypto/x509,
root_unix.go and root_linux.go). OpenSSL, and with it Python, has the same two variables. But it
looks into a folder only for names that `openssl rehash` makes, and has folders of its own where
Python wasn't built for the machine. On macOS and Windows what Python takes is left as it is.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# The first one that is there counts.
_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_FOLDERS = ("/etc/ssl/certs", "/etc/pki/tls/certs")  # all of them count

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)


def trusting(authority: bytes | None) -> ssl.SSLContext:
    """For a client that trusts the authorities in `authority` (PEM), else those of the machine.

    Raises ValueError where it has no certificate.
    """
    if authority:
        found = _certificates(authority)
        if not found:
            raise ValueError("the kubeconfig's certificate authority has no certificate in PEM form")
        return _of(found)
    found = _of_the_machine() if sys.platform == "linux" else []
    return _of(found) if found else ssl.create_default_context()


def _of(certificates: list[str]) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata="\n".join(certificates))
    except ssl.SSLError:  # one that is none; Go passes over it
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for each in certificates:
            with suppress(ssl.SSLError):
                tls.load_verify_locations(cadata=each)
        return tls


def _of_the_machine() -> list[str]:
    named = os.environ.get("SSL_CERT_FILE")
    content = next((text for file in ([named] if named else _FILES) if (text := _read(Path(file))) is not None), b"")
    found = _certificates(content)
    for folder in (os.environ.get("SSL_CERT_DIR") or ":".join(_FOLDERS)).split(":"):
        for file in _files_in(Path(folder)):
            found += _certificates(_read(file) or b"")
    return list(dict.fromkeys(found))


def _files_in(folder: Path) -> Iterator[Path]:
    """The files in a folder, without links to another one in it: `openssl rehash` makes those."""
    with suppress(OSError):
        for file in folder.iterdir():
            if not file.is_symlink() or os.sep in str(file.readlink()):
                yield file


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _certificates(content: bytes) -> list[str]:
    return [found.decode("ascii", "ignore") for found in _CERTIFICATE.findall(content)]
