"""Inputs made of pieces of real ones, and what each parser of them may raise. Run by a test for a few seconds, by
``scripts/fuzz`` for as long as one likes."""

from __future__ import annotations

import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from regfs.dxf.fetched import FetchedManifest
from regfs.exceptions import DXFError
from regfs.oci import manifest, schema1
from regfs.oci.manifest import InvalidManifest
from regfs.oci.platforms import platforms_of
from regfs.oci.reference import InvalidReference, parse_reference, split_name
from regfs.oci.titles import files_of
from regfs.registry.api import Unauthenticated
from regfs.registry.config import mirrors
from regfs.registry.config.credentials import Credentials
from regfs.registry.http.auth import _lifetime, basic, parse_challenges, scopes_for, token_in, token_url
from regfs.registry.http.transport import Response

_PIECES = [
    "{", "}", "[", "]", ",", ":", '"', "\\", "/", "..", "@", "=", "<", ">", ";", " ", "\n", "\0", "\x1b", "é", "\udc80",
    "null", "true", "-1", "1e999", "9" * 30, "sha256:", "0" * 64, "layers", "manifests", "mediaType", "digest", "size",
    "schemaVersion", "signatures", "fsLayers", "blobSum", "protected", "header", "jwk", "annotations", "platform",
    "Bearer", "Basic", "realm", "scope", "https://", "[::1]", "localhost:5000", "auths", "credHelpers", "[[registry]]",
    "location", "mirror", "host", "rel=next", manifest.OCI_MANIFEST, manifest.OCI_INDEX, manifest.TITLE,
]  # fmt: skip
_DIGEST = "sha256:" + "a" * 64
_LAYER = {"mediaType": "t/t", "digest": _DIGEST, "size": 1, "annotations": {manifest.TITLE: "a/b"}}
_SIGNATURE = {"header": {"alg": "ES256", "jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
              "signature": "AA", "protected": "eyJmb3JtYXRMZW5ndGgiOjEsImZvcm1hdFRhaWwiOiJBQSJ9"}  # fmt: skip


def _manifest(text: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    with suppress(InvalidManifest):
        parsed = manifest.parse(content)
        if isinstance(parsed, manifest.Manifest):
            files = files_of(parsed)
            assert all(".." not in path and "" not in path for path in files.blobs)
        else:
            assert not {"", ".", ".."} & set(platforms_of(parsed))
    with suppress(InvalidManifest, DXFError):
        fetched = FetchedManifest(content, None, None)
        _ = fetched.platforms(), fetched.layers(False)


def _schema1(text: str) -> None:
    with suppress(InvalidManifest):
        schema1.parse(text.encode("utf-8", "surrogateescape"), None)


def _reference(text: str) -> None:
    split_name(text)
    with suppress(InvalidReference):
        assert parse_reference(str(parse_reference(text))) == parse_reference(text)


def _challenge(text: str) -> None:
    bearer = parse_challenges(text).get("bearer", {})
    with suppress(Unauthenticated):
        assert token_url(bearer, scopes_for(bearer, "r", None)).startswith("https://")


def _token(text: str) -> None:
    with suppress(ValueError, RecursionError):
        document = json.loads(text)
        assert 0 < _lifetime(document) <= 86400
        with suppress(Unauthenticated):
            assert token_in(document).isascii()


def _link(text: str) -> None:
    response = Response()
    response.headers["Link"] = text
    assert isinstance(response.links, dict)


def _credentials(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text.replace("credsStore", "x"))
        file.flush()
        found = Credentials({"REGISTRY_AUTH_FILE": file.name, "HOME": "/nonexistent", "PATH": ""}).find("h:1", "a/b")
        assert found is None or basic(found.username, found.password)


def _mirrors(text: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home, "containerd", "certs.d", "h:1", "hosts.toml")
        path.parent.mkdir(parents=True)
        for file in (path, Path(home, "registries.conf")):
            file.write_bytes(text.encode("utf-8", "surrogateescape"))
        environment = {"XDG_CONFIG_HOME": home, "CONTAINERS_REGISTRIES_CONF": f"{home}/registries.conf", "HOME": home}
        for mirror in mirrors.configured(environment, "h:1"):
            assert parse_reference(str(mirror.location)) == mirror.location


_MIRRORS = """[host."http://m:1"]
capabilities = ["pull", "resolve"]
[[registry]]
location = "h:1"
[[registry.mirror]]
location = "m:2"
insecure = true
"""
TARGETS: dict[str, tuple[Callable[[str], None], str]] = {
    "manifest": (_manifest, json.dumps({"mediaType": manifest.OCI_MANIFEST, "config": _LAYER, "layers": [_LAYER] * 2})),
    "index": (_manifest, json.dumps({"mediaType": manifest.OCI_INDEX, "manifests": [
        {**_LAYER, "platform": {"os": "linux", "architecture": "amd64"}}]})),
    "schema 1": (_schema1, json.dumps({"schemaVersion": 1, "signatures": [_SIGNATURE],
                                       "fsLayers": [{"blobSum": _DIGEST}]})),
    "reference": (_reference, f"https://localhost:5000/a/b@{_DIGEST}"),
    "challenge": (_challenge, 'Bearer realm="https://h/t",service="s",scope="repository:a/b:pull,push", Basic realm=r'),
    "token": (_token, '{"access_token": "abc", "token": "def", "expires_in": 300}'),
    "Link": (_link, '</v2/_catalog?n=5&last=x>; rel="next", <https://h/>; rel=prev'),
    "credentials": (_credentials, '{"auths": {"h:1": {"auth": "ZnJlZDp4", "identitytoken": "t"}, "h:1/a": {}}}'),
    "mirrors": (_mirrors, _MIRRORS),
}  # fmt: skip


def mutated(text: str, chance: random.Random) -> str:
    """*text* with some places changed."""
    for _ in range(chance.randint(1, 6)):
        start = chance.randint(0, len(text))
        end = min(len(text), start + chance.choice([0, 0, 1, 2, 5, 20]))
        new = chance.choice([*_PIECES, text[start : start + 30], chr(chance.randint(0, 0x2FF)), ""])
        text = text[:start] + new * chance.choice([1, 1, 1, 2, 50]) + text[end:]
    return text


def fuzz(name: str, seed: int, seconds: float = 0.0, inputs: int = 60) -> int:
    """Try inputs for a while, and so many at least; returns how many.

    :raises Exception: what a parser raised that it may not; the input is printed
    """
    parse, text = TARGETS[name]
    chance, end, tried = random.Random(seed), time.monotonic() + seconds, 0
    while tried < inputs or time.monotonic() < end:
        given, tried = mutated(text, chance), tried + 1
        try:
            parse(given)
        except Exception:
            print(f"{name}: {given!r}", file=sys.stderr)
            raise
    return tried


def main() -> None:
    """``fuzzing.py [SECONDS [SEED]]``: seconds for each parser."""
    logging.disable()
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    print(f"seed {seed}")
    for name in TARGETS:
        print(f"{name}: {fuzz(name, seed, seconds)} inputs", flush=True)


if __name__ == "__main__":
    main()
