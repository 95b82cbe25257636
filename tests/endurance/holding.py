"""What must hold after any fault: the registry, the journal and the cache are looked at by others than the mount."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import requests

from regfs.cache.store import BlobStore
from tests.registries import Registry
from tests.scenarios.foreign import TITLE, Document, Foreign
from tests.scenarios.views import Mounted, present, run

_PATIENCE = 250  # times


@dataclass(frozen=True)
class Kept:
    """Bytes in the journal."""

    title: str
    content: bytes


def kept(view: Mounted) -> list[Kept]:
    """What the journal has, oldest first."""
    found = []
    for meant in (path for path in present(view.state / "journal") if path.name == "meant.json"):
        data = meant.with_name("data")
        title = "/".join(json.loads(meant.read_text())["title"])
        found.append((data.stat().st_mtime_ns, Kept(title, data.read_bytes())))
    return [item for _, item in sorted(found, key=lambda pair: pair[0])]


def document(foreign: Foreign, repository: str, alias: str) -> Document:
    """An alias's manifest. docker-registry answers some with 500 while the alias is being put; it is asked again."""
    for _ in range(_PATIENCE):
        try:
            return foreign.document(repository, alias)
        except AssertionError as error:
            if ": 500 " not in str(error):
                raise
        time.sleep(0.02)
    return foreign.document(repository, alias)


def digests(foreign: Foreign, registry: Registry, repository: str, alias: str) -> dict[str, str]:
    """The digests of an alias's files by title. Each blob that the manifest names is there, with its size.

    :raises AssertionError: when one is not, or a title is there twice
    """
    manifest = document(foreign, repository, alias)
    found: dict[str, str] = {}
    for layer in [manifest["config"], *manifest["layers"]]:
        answer = requests.head(f"{registry.url}/v2/{repository}/blobs/{layer['digest']}", timeout=10)
        assert answer.status_code == 200, f"{repository}:{alias} names {layer}, which answers {answer.status_code}"
        assert answer.headers["Content-Length"] == str(layer["size"]), layer
    for layer in manifest["layers"]:
        title = layer["annotations"][TITLE]
        assert title not in found, f"{repository}:{alias} has {title} twice"
        found[title] = layer["digest"]
    return found


def whole_cache(view: Mounted) -> None:
    """Every blob in the cache is its digest's.

    :raises AssertionError: when one was not
    """
    assert list(BlobStore(view.cache).check()) == []


def push_pending(view: Mounted) -> None:
    """Push what the journal has, if anything; nothing is left in it.

    :raises AssertionError: when something could not be pushed
    """
    if not kept(view):
        return
    pushed = run("push-pending", environment=view.environment)
    assert pushed.returncode == 0, pushed.stdout + pushed.stderr
    assert kept(view) == []
