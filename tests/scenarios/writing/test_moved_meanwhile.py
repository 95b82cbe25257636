"""What is renamed or removed while its bytes are on their way to the registry is there under its new name alone."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.gate import Gate
from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.making import Mount
from tests.scenarios.views import Direct, View, refused

SOON = 2.0  # seconds in which what does not wait for the push is over


@pytest.fixture(params=["direct", "mounted"])
def view(request: pytest.FixtureRequest, gate: Gate, tmp_path: Path, mount: Mount) -> Iterator[View]:
    """Each kind of view, through the gate."""
    if request.param == "mounted":
        yield mount(gate.url)
        return
    direct = Direct(tmp_path, gate.url)
    yield direct
    direct.close()


def closing_meanwhile(gate: Gate, view: View, path: str, content: bytes, change: Callable[[], None]) -> None:
    """Make a change while a file that was written is on its way: it is closed, and the registry is slow."""
    handle = view.open(path, os.O_WRONLY | os.O_CREAT)
    handle.write(content, 0)
    gate.close()
    with ThreadPoolExecutor(2) as pool:
        closing = pool.submit(handle.close)
        assert gate.reached.wait(30)
        changing = pool.submit(change)
        threading.Timer(SOON, gate.opened.set).start()
        changing.result()
        closing.result()


def test_a_file_on_its_way_moves_along_with_its_alias(
    gate: Gate, view: View, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"b": b"bb"})
    closing_meanwhile(
        gate, view, f"{repository}/v1/a", b"aa", lambda: view.rename(f"{repository}:v1", f"{repository}:v2")
    )
    assert foreign.files(repository, "v2") == {"a": b"aa", "b": b"bb"}
    assert foreign.aliases(repository) == {"v2"}
    assert view.list(f"{repository}/v2") == ["a", "b"]


def test_a_file_on_its_way_moves_along_with_its_directory(
    gate: Gate, view: View, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"sub/b": b"bb"})
    closing_meanwhile(
        gate, view, f"{repository}/v1/sub/a", b"aa",
        lambda: view.rename(f"{repository}:v1/sub", f"{repository}:v1/moved"),
    )  # fmt: skip
    assert foreign.files(repository, "v1") == {"moved/a": b"aa", "moved/b": b"bb"}


def test_a_file_that_is_renamed_on_its_way_has_its_new_name(
    gate: Gate, view: View, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"b": b"bb"})
    closing_meanwhile(
        gate, view, f"{repository}/v1/a", b"aa", lambda: view.rename(f"{repository}:v1/a", f"{repository}:v1/c")
    )
    assert foreign.files(repository, "v1") == {"b": b"bb", "c": b"aa"}


def test_a_file_that_another_one_replaces_on_its_way_does_not_come_back(
    gate: Gate, view: View, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"b": b"bb"})
    closing_meanwhile(
        gate, view, f"{repository}/v1/a", b"aa", lambda: view.rename(f"{repository}:v1/b", f"{repository}:v1/a")
    )
    assert foreign.files(repository, "v1") == {"a": b"bb"}


def test_a_file_that_is_removed_on_its_way_does_not_come_back(
    gate: Gate, view: View, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"b": b"bb"})
    closing_meanwhile(gate, view, f"{repository}/v1/a", b"aa", lambda: view.remove(f"{repository}:v1/a"))
    assert foreign.files(repository, "v1") == {"b": b"bb"}


def test_what_another_mount_publishes_while_an_alias_is_renamed_is_not_lost(
    gate: Gate, mount: Mount, registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.artifact(repository, "v1", {"b": b"bb"})
    renaming, writing = mount(gate.url, tmp_path / "user", name="one"), mount(gate.url, tmp_path / "user", name="two")
    gate.holds = lambda request: request.method == "PUT" and request.path.endswith("/manifests/v2")
    gate.close()
    with ThreadPoolExecutor(2) as pool:
        renamed = pool.submit(renaming.rename, f"{repository}/v1", f"{repository}/v2")
        assert gate.reached.wait(30)
        threading.Timer(SOON, gate.opened.set).start()
        pool.submit(writing.write_bytes, f"{repository}/v1/a", b"aa").result()
        renamed.result()
    found = [foreign.files(repository, alias) for alias in foreign.aliases(repository)]
    assert sorted(name for files in found for name in files) == ["a", "b"]


def test_an_alias_that_another_client_made_meanwhile_is_not_replaced(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"b": b"bb"})
    view = mount(registry.url, ttl=300)
    assert view.list(repository) == ["v1"]
    foreign.artifact(repository, "v2", {"a": b"aa"})
    with refused(errno.ENOTEMPTY):
        view.rename(f"{repository}/v1", f"{repository}/v2")
    assert foreign.files(repository, "v2") == {"a": b"aa"}
    assert foreign.files(repository, "v1") == {"b": b"bb"}
