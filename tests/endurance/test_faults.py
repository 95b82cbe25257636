"""Programs on a mount whose way to the registry, disk and clock fail; scripts/soak does it for longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from tests.endurance.faults import Round
from tests.endurance.proxy import KINDS, Fault, Proxy, nth
from tests.logs import NOT_PUSHED
from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted

_FATAL = ("half head", "spoilt on the way there")  # half of an address; close may fail


@pytest.fixture(scope="module")
def harmed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Mounted, Foreign]]:
    """A proxy that does no harm yet, a mount by way of it, and a client that goes past it."""
    registry = lab.start("plain")
    foreign = Foreign(registry)
    foreign.artifact("some/repository", "v1", {"there.txt": b"there"})
    with Proxy(registry.host) as proxy, closing(foreign):
        view = Mounted(tmp_path_factory.mktemp("harmed"), f"{proxy.url}/some/repository")
        with closing(view):
            yield proxy, view, foreign
    registry.stop()


@pytest.mark.parametrize("seed", [2, 3, 5, 6])
@pytest.mark.logs(r".")
def test_what_close_said_is_so_whatever_fails_on_the_way(own_registry: Registry, tmp_path: Path, seed: int) -> None:
    here = Round(own_registry, tmp_path / "user", seed)
    here.run()
    assert any(what.startswith("faults: ") for what in here.done)
    assert here.done["reads"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_proxy_harms_the_request_that_was_chosen_and_no_other(own_registry: Registry, kind: str) -> None:
    foreign = Foreign(own_registry)
    content = bytes(range(256)) * 40
    digest = foreign.push("some/repository", content)
    foreign.close()
    with Proxy(own_registry.host, nth("GET", "/blobs/", 2, Fault(kind, 503 if kind == "refused" else 0.4))) as proxy:
        got = [_asked(f"{proxy.url}/v2/some/repository/blobs/{digest}") for _ in range(2)]
        proxy.calm()
        got.append(_asked(f"{proxy.url}/v2/some/repository/blobs/{digest}"))
    assert proxy.done == {kind: 1}
    assert (got[0], got[2]) == (content, content)
    harmless = ("late", "spoilt on the way there", "asked twice", "answered twice", "overtaken")
    assert (got[1] == content) == (kind in harmless)


def _asked(url: str) -> bytes | None:
    try:
        answer = requests.get(url, timeout=5)
    except requests.RequestException:
        return None
    return answer.content if answer.ok else None


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"late", "overtaken", "down"}))
@pytest.mark.parametrize(
    ("method", "pattern"), [("PUT", "/manifests/"), ("PUT", "/blobs/uploads/"), ("POST", "/blobs/uploads/")]
)
@pytest.mark.logs(r"^close /v1/new.txt: ", r"got another manifest than was sent", NOT_PUSHED)
def test_one_fault_of_a_push_is_got_over(
    harmed: tuple[Proxy, Mounted, Foreign], kind: str, method: str, pattern: str
) -> None:
    proxy, view, foreign = harmed
    content = f"{kind} {method} {pattern}".encode() * 1000
    proxy.choose = nth(method, pattern, 1, Fault(kind, 502 if kind == "refused" else 0.4))
    before = proxy.done[kind]
    try:
        view.write_bytes("v1/new.txt", content)
        acknowledged = True
    except OSError:
        acknowledged = False
    proxy.calm()
    assert proxy.done[kind] == before + 1
    found = foreign.files("some/repository", "v1")
    assert found["there.txt"] == b"there"
    assert found.get("new.txt") == content if acknowledged else content in view.journal()
    assert acknowledged or kind in _FATAL, f"{kind} makes a push fail"
    if not acknowledged:
        view.write_bytes("v1/new.txt", content)
        assert foreign.files("some/repository", "v1")["new.txt"] == content
