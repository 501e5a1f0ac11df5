"""The messages of the engine's protocol, without the SDK that they come with: its import is half of
a plugin's start (0.1 s)."""

from __future__ import annotations

import importlib.util
import sys

# Python runs a package's __init__ before a module in it is imported, unless the package is there
# already: so it is, and empty. A plugin never imports the SDK itself; where something else has (a
# test), that one is used.
for _name in ("pulumi", "pulumi.runtime"):
    if _name not in sys.modules:
        _found = importlib.util.find_spec(_name)
        if _found is None:
            raise ImportError(f"the Python package {_name} is missing", name=_name)
        sys.modules[_name] = importlib.util.module_from_spec(_found)

from pulumi.runtime.proto import (  # noqa: E402
    engine_pb2,
    engine_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)

# A value that a preview can't know (pulumi.runtime.rpc.UNKNOWN).
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

__all__ = [
    "UNKNOWN",
    "engine_pb2",
    "engine_pb2_grpc",
    "language_pb2",
    "language_pb2_grpc",
    "plugin_pb2",
    "provider_pb2",
    "provider_pb2_grpc",
]
