"""proxies.py against Go's golang.org/x/net/http/httpproxy, which net/http and so kubectl have."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from components.kube.proxies import proxy_for
from tests.oracles import ask

pytestmark = [pytest.mark.engine, pytest.mark.faults]

HOSTS = """
    localhost localhost. mylocalhost 127.0.0.1 127.9.9.9 128.0.0.1 0.0.0.0 10.0.0.1 10.1.2.3 010.1.2.3 192.168.4.20 1.2.3 [::1] [::2]
    [fd00::1] [fd00:0::1] [fe80::1%25eth0] [::ffff:10.1.2.3] [::ffff:127.0.0.1] api.example API.Example sub.api.example example example.
    b\u00fccher.example xn--bcher-kva.example b\u00dccher.example my_host 10.1.2.3.example a-b.c
"""
RULES = """
    * ** localhost .localhost 127.0.0.1 10.1.2.3 10.1.2 .2.3 2.3 10.0.0.0/8 10.1.2.3/8 10.0.0.0/08 10.0.0.0/33 10.0.0.0/-1 10.0.0.0/
    10.0.0.0/255.0.0.0 10.0.0.0/0.255.255.255 0.0.0.0/0 ::/0 fd00::/8 FD00::/8 [fd00::]/8 fd00::1 [fd00::1] [fd00::1]:6443 [fd00::1]:1
    fd00::1:6443 [fd00::1 fd00::1] [[fd00::1]]:6443 ::ffff:10.1.2.3 ::ffff:10.1.2.0/120 ::ffff:10.1.2.0/90 ::ffff:0:0/96 fe80::1
    fe80::1%eth0 fe80::/10 fe80::1%eth0/10 10.1.2.3:6443 10.1.2.3:443 10.1.2.3: 10.1.2.3:https example .example *.example *example
    **.example EXAMPLE api.example .api.example api.example:6443 api.example:443 api.example: api.example:1 *.example:6443 *.example:1
    .example:443 example. . *. : :6443 [] []:6443 [api.example]:6443 [api.example] b\u00fccher.example .b\u00fccher.example
    xn--bcher-kva.example B\u00dcCHER.example my_host 3 10 http://api.example api.example/ /8 c a-b.c *:6443 *:1 a:b:c
"""
PROXIES = """
    http://proxy.example:8080 proxy.example:8080 proxy.example 10.0.0.9:3128 [fd00::9]:3128 https://proxy.example socks5://127.0.0.1:1080
    http://me:p%40ss@proxy.example:8080 HTTP://proxy.example http://[::1 /proxy localhost:3128 ftp://proxy.example:1 me:pass@proxy.example:1
"""


def question(server: str, variables: Mapping[str, str]) -> dict[str, object]:
    return {"server": server, "variables": dict(variables)}


def every_rule_for_every_host() -> list[dict[str, object]]:
    servers = [f"https://{host}{port}" for host, port in itertools.product(HOSTS.split(), ("", ":6443"))]
    return [
        question(server, {"HTTPS_PROXY": "http://proxy.example:8080", "NO_PROXY": rule})
        for server, rule in itertools.product(servers, ["", *RULES.split()])
    ]


def lists_of_rules(seed: int, number: int) -> list[dict[str, object]]:
    """Several rules at once, with blanks, under any of the variables' names."""
    chance = random.Random(seed)
    hosts, known, proxies = HOSTS.split(), RULES.split(), PROXIES.split()
    found = []
    for _ in range(number):
        rules = chance.choice((",", ", ", " ,\t", ",,")).join(chance.choices(known, k=chance.randint(1, 4)))
        variables = {
            name: chance.choice((value, value, ""))
            for name, value in {
                "HTTPS_PROXY": chance.choice(proxies),
                "https_proxy": chance.choice(proxies),
                "HTTP_PROXY": chance.choice(proxies),
                "http_proxy": chance.choice(proxies),
                "ALL_PROXY": "http://all.example:1",
                "NO_PROXY": rules,
                "no_proxy": chance.choice(known),
            }.items()
            if chance.random() < 0.5
        }
        scheme, port = chance.choice(("https", "https", "http")), chance.choice(("", ":6443", ":443", ":80"))
        found.append(question(f"{scheme}://{chance.choice(hosts)}{port}", variables))
    return found


def ours(asked: Mapping[str, object], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(os, "environ", asked["variables"])
    return proxy_for(urlsplit(str(asked["server"])))


def test_the_same_proxy_as_go(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [*every_rule_for_every_host(), *lists_of_rules(16, 5_000)]
    theirs = ask("proxies", asked)
    # Go writes a scheme in lower case.
    differ = [(each, go, mine) for each, go in zip(asked, theirs, strict=True) if (mine := ours(each, monkeypatch)).lower() != go.lower()]
    assert not differ, f"{len(differ)} of {len(asked)}, such as\n" + "\n".join(str(each) for each in differ[:10])
    assert 0.2 < sum(not each for each in theirs) / len(theirs) < 0.8
