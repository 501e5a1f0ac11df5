"""Pulumi's Python programs reach the engine past every proxy.

They call it by gRPC on 127.0.0.1. gRPC's core sends that through the proxy of http_proxy,
https_proxy or grpc_proxy too, in small letters, where no_grpc_proxy or no_proxy doesn't name the
address (grpc, doc/environment_variables.md): the program then never answers. Go, in which the
engine and its plugins are written, leaves the loopback alone.
"""

from __future__ import annotations

from collections.abc import Mapping

NAME = "no_grpc_proxy"  # of gRPC alone: no other program reads it
ENGINE = "127.0.0.1,localhost"

# The same for a user's own shell.
SHELL = f'case "${{{NAME}-}}" in {ENGINE}*) ;; *) export {NAME}="{ENGINE},${{{NAME}:-${{no_proxy-}}}}" ;; esac'
POWERSHELL = f'if (-not "$env:{NAME}".StartsWith("{ENGINE}")) {{ $env:{NAME} = "{ENGINE},$env:{NAME},$env:no_proxy" }}'


def past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a run of `pulumi`: gRPC reaches the engine directly.

    What the user has in `no_grpc_proxy`, else in `no_proxy`, counts besides.
    """
    known = environment.get(NAME) or environment.get("no_proxy") or ""
    return {**environment, NAME: known if known.startswith(ENGINE) else f"{ENGINE},{known}".rstrip(",")}
