"""Several writers of one alias: none loses what another one did."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.logs import NOT_PUSHED
from tests.registries import Lab, Registry
from tests.scenarios.foreign import CREATED, OCI_MANIFEST, Foreign
from tests.scenarios.views import Mounted, refused
from tests.servers import Answer, Request, Server, forward

Mount = Callable[..., Mounted]
WRITERS, FILES = 8, 5


def copying(directories: list[str]) -> list[subprocess.Popen[bytes]]:
    """Processes that each copy files of their own into one of some directories, all at once."""
    script = (
        "import sys, pathlib\n"
        "where, writer, files = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])\n"
        "for number in range(files):\n"
        "    (where / f'{writer}-{number}.txt').write_text(f'{writer} {number}')\n"
    )
    return [
        subprocess.Popen([sys.executable, "-c", script, directories[n % len(directories)], str(n), str(FILES)])
        for n in range(WRITERS)
    ]


EXPECTED = {f"{writer}-{n}.txt": f"{writer} {n}".encode() for writer in range(WRITERS) for n in range(FILES)}


def test_eight_processes_through_one_mount_lose_nothing(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    view = mount(registry.url)
    view.mkdir(f"{repository}:v1")
    writers = copying([view.path(f"{repository}:v1")])
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    assert foreign.files(repository, "v1") == EXPECTED


def test_eight_processes_through_two_mounts_of_a_user_lose_nothing(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.artifact(repository, "v1", {})
    views = [mount(registry.url, tmp_path / "user", name=name) for name in ("first", "second")]
    writers = copying([view.path(f"{repository}/v1") for view in views])
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    assert foreign.files(repository, "v1") == EXPECTED


def test_closes_that_wait_share_a_manifest(mount: Mount, registry: Registry, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {})
    with Server(forward(registry.host)) as proxy:
        view = mount(f"http://{proxy.host}", ttl=30)
        writers = copying([view.path(f"{repository}/v1")])
        assert [writer.wait() for writer in writers] == [0] * WRITERS
        puts = [request for request in proxy.requests if request.method == "PUT" and "/manifests/" in request.path]
    assert foreign.files(repository, "v1") == EXPECTED
    assert len(puts) < len(EXPECTED)


def test_a_writer_keeps_what_another_client_published_in_the_meantime(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"first.txt": b"first"})
    view = mount(registry.url, ttl=300)
    assert view.list(f"{repository}/v1") == ["first.txt"]
    foreign.artifact(repository, "v1", {"first.txt": b"first", "second.txt": b"second"})
    view.write_bytes(f"{repository}/v1/third.txt", b"third")
    assert sorted(foreign.files(repository, "v1")) == ["first.txt", "second.txt", "third.txt"]


def test_what_another_client_wrote_meanwhile_is_what_is_moved(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a.txt": b"old", "dir/b.txt": b"old"})
    view = mount(registry.url, ttl=300)
    assert view.read_bytes(f"{repository}/v1/a.txt") == b"old"
    foreign.artifact(repository, "v1", {"a.txt": b"new", "dir/b.txt": b"newer", "dir/c.txt": b"c"})
    view.rename(f"{repository}/v1/a.txt", f"{repository}/v1/moved.txt")
    assert foreign.files(repository, "v1") == {"moved.txt": b"new", "dir/b.txt": b"newer", "dir/c.txt": b"c"}
    foreign.artifact(repository, "v1", {"dir/b.txt": b"newest", "dir/d.txt": b"d"})
    view.rename(f"{repository}/v1/dir", f"{repository}/v1/moved")
    assert foreign.files(repository, "v1") == {"moved/b.txt": b"newest", "moved/d.txt": b"d"}


def test_what_another_client_wrote_meanwhile_is_what_gets_a_time(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a.txt": b"old"})
    view = mount(registry.url, ttl=300)
    assert view.read_bytes(f"{repository}/v1/a.txt") == b"old"
    foreign.artifact(repository, "v1", {"a.txt": b"new"})
    view.utime(f"{repository}/v1/a.txt", 10**18)
    assert foreign.files(repository, "v1") == {"a.txt": b"new"}


def test_an_alias_to_which_another_client_added_meanwhile_is_not_empty(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {})
    view = mount(registry.url, ttl=300)
    assert view.list(f"{repository}/v1") == []
    foreign.artifact(repository, "v1", {"new.txt": b"new"})
    with refused(errno.ENOTEMPTY):
        view.rmdir(f"{repository}/v1")
    assert foreign.files(repository, "v1") == {"new.txt": b"new"}


def test_what_regfs_does_not_own_stays(mount: Mount, registry: Registry, foreign: Foreign, repository: str) -> None:
    layers = [
        foreign.layer(repository, b"one", "one.txt", futureField=[1, {"deep": None}]),
        foreign.layer(repository, b"untitled", None, mediaType="application/x-special"),
        foreign.layer(repository, b"two", "two.txt", mediaType="text/special"),
    ]
    config = foreign.layer(repository, b'{"config": true}', None, mediaType="application/x-config")
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": layers,
        "annotations": {CREATED: "2020-01-01T00:00:00Z", "own": "ünïcödé"},
        "futureTop": {"a": 1},
    }
    foreign.put(repository, "v1", json.dumps(document).encode())
    view = mount(registry.url)
    view.write_bytes(f"{repository}/v1/two.txt", b"second")
    view.write_bytes(f"{repository}/v1/three.txt", b"three")
    view.remove(f"{repository}/v1/one.txt")
    after = foreign.document(repository, "v1")
    assert {key: after[key] for key in after if key != "layers"} == {
        key: document[key] for key in document if key != "layers"
    }
    assert after["layers"][0] == layers[1]
    assert [layer.get("annotations", {}).get("org.opencontainers.image.title") for layer in after["layers"]] == [
        None,
        "two.txt",
        "three.txt",
    ]
    assert foreign.files(repository, "v1")["two.txt"] == b"second"


@pytest.mark.logs(r"^close .*, over the limit", NOT_PUSHED)
def test_a_manifest_over_the_limit_is_refused_before_anything_changes(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    before = foreign.artifact(repository, "v1", {}, annotations={"padding": "x" * (4 * 1024 * 1024 - 400)})
    view = mount(registry.url)
    with refused(errno.EFBIG):
        view.write_bytes(f"{repository}/v1/one-too-many.txt", b"x")
    assert foreign.digest(repository, "v1") == before
    assert view.list(f"{repository}/v1") == []


@pytest.fixture
def tags(mount: Mount, registry: Registry, foreign: Foreign, repository: str) -> dict[str, str]:
    """Two aliases of one digest, and another one."""
    one = foreign.artifact(repository, "keep", {"a.txt": b"a"})
    foreign.put(repository, "gone", foreign.manifest(repository, "keep"))
    return {"keep": one, "other": foreign.artifact(repository, "other", {"b.txt": b"b"})}


def test_deleting_an_alias_leaves_its_siblings(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, tags: dict[str, str]
) -> None:
    view = mount(registry.url)
    subprocess.run(["rm", "-r", view.path(f"{repository}/gone")], check=True)
    assert foreign.aliases(repository) == {"keep", "other"}
    assert {name: foreign.digest(repository, name) for name in tags} == tags


def test_a_registry_that_deletes_by_tag_is_asked_to(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, tags: dict[str, str]
) -> None:
    asked = []

    def deletes_tags(request: Request) -> Answer:
        name = request.path.rpartition("/")[2]
        if request.method == "DELETE" and ":" not in name:
            asked.append(name)
            registry.untag(repository, name)
            return Answer(202)
        return forward(registry.host)(request)

    with Server(deletes_tags) as proxy:
        view = mount(f"http://{proxy.host}")
        view.remove_tree(f"{repository}/gone")
        puts = [r for r in proxy.requests if r.method == "PUT" and r.path.endswith("/manifests/gone")]
    assert asked == ["gone"]
    assert len(puts) == 1  # of the last file's removal, and no throw-away manifest
    assert {name: foreign.digest(repository, name) for name in tags} == tags


@pytest.mark.logs(r"^rmdir .*: 405 Client Error: ")
def test_an_alias_that_may_not_be_deleted_is_put_back(
    mount: Mount, lab: Lab, registry: Registry, foreign: Foreign, repository: str, tags: dict[str, str]
) -> None:
    registry.stop()
    strict = lab.start("plain", root=registry.root, deletes=False)
    client = Foreign(strict)
    try:
        view = mount(strict.url)
        view.remove(f"{repository}/gone/a.txt")
        empty = client.manifest(repository, "gone")
        with refused(errno.EPERM):
            view.rmdir(f"{repository}/gone")
        assert client.manifest(repository, "gone") == empty
        assert {name: client.digest(repository, name) for name in tags} == tags
    finally:
        client.close()
        strict.stop()


def test_a_delete_interrupted_between_its_steps_can_be_done_again(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, tags: dict[str, str]
) -> None:
    def fails_to_delete(request: Request) -> Answer:
        if request.method == "DELETE" and "sha256:" in request.path:
            os.kill(view.pid, 9)
            return Answer(500)
        return forward(registry.host)(request)

    with Server(fails_to_delete) as proxy:
        view = mount(f"http://{proxy.host}")
        view.remove(f"{repository}/gone/a.txt")
        with pytest.raises(OSError):
            view.rmdir(f"{repository}/gone")
    assert {name: foreign.digest(repository, name) for name in tags} == tags
    again = mount(registry.url)
    assert again.list(f"{repository}/gone") == []
    again.rmdir(f"{repository}/gone")
    assert foreign.aliases(repository) == {"keep", "other"}


def test_moving_a_file_between_repositories_moves_no_bytes(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    content = os.urandom(3 << 20)
    foreign.artifact(repository, "v1", {"big.bin": content, "stays.txt": b"stays"})
    foreign.artifact(f"{repository}2", "v1", {})
    with Server(forward(registry.host)) as proxy:
        view = mount(f"http://{proxy.host}")
        os.rename(view.path(f"{repository}/v1/big.bin"), view.path(f"{repository}2/v1/big.bin"))
        moved = sum(len(request.body) + len(answer.body) for request, answer in proxy.exchanges)
    assert moved < 100_000
    assert foreign.files(f"{repository}2", "v1") == {"big.bin": content}
    assert foreign.files(repository, "v1") == {"stays.txt": b"stays"}


def test_moving_an_alias_retags_it(mount: Mount, registry: Registry, foreign: Foreign, repository: str) -> None:
    digest = foreign.artifact(repository, "v1", {"a.txt": b"a"})
    view = mount(registry.url)
    os.rename(view.path(f"{repository}/v1"), view.path(f"{repository}/v2"))
    assert foreign.aliases(repository) == {"v2"}
    assert foreign.digest(repository, "v2") == digest


def test_moving_an_alias_to_another_repository_mounts_its_blobs(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    digest = foreign.artifact(repository, "v1", {"a.txt": b"a"})
    view = mount(registry.url)
    os.rename(view.path(f"{repository}/v1"), view.path(f"{repository}-new:v1"))
    assert foreign.digest(f"{repository}-new", "v1") == digest
    assert foreign.files(f"{repository}-new", "v1") == {"a.txt": b"a"}
    assert foreign.aliases(repository) == set()


def test_moving_a_directory_inside_an_alias_is_one_manifest(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {f"old/{n}.txt": str(n).encode() for n in range(20)})
    with Server(forward(registry.host)) as proxy:
        view = mount(f"http://{proxy.host}")
        os.rename(view.path(f"{repository}/v1/old"), view.path(f"{repository}/v1/new"))
        puts = [request for request in proxy.requests if request.method == "PUT"]
    assert len(puts) == 1
    assert sorted(foreign.files(repository, "v1")) == sorted(f"new/{n}.txt" for n in range(20))


def test_writers_of_different_aliases_do_not_wait_for_each_other(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    for alias in ("slow", "fast"):
        foreign.artifact(repository, alias, {})
    stalled, go = threading.Event(), threading.Event()

    def stalls(request: Request) -> Answer:
        if request.method == "PUT" and request.path.endswith("/manifests/slow"):
            stalled.set()
            go.wait(30)
        return forward(registry.host)(request)

    with Server(stalls) as proxy:
        view = mount(f"http://{proxy.host}")
        slow = threading.Thread(target=view.write_bytes, args=(f"{repository}/slow/a.txt", b"a"))
        slow.start()
        assert stalled.wait(20)
        view.write_bytes(f"{repository}/fast/b.txt", b"b")
        assert sorted(foreign.files(repository, "fast")) == ["b.txt"]
        go.set()
        slow.join()
    assert sorted(foreign.files(repository, "slow")) == ["a.txt"]


@pytest.fixture
def removed(mount: Mount, registry: Registry, foreign: Foreign, repository: str) -> Mounted:
    """A mount of an alias in which another client has just removed a file ``a`` that the kernel has looked up."""
    foreign.artifact(repository, "v1", {"a": b"old", "b": b"b"})
    view = mount(f"{registry.url}/{repository}:v1")
    assert view.stat("a").size == 3
    foreign.artifact(repository, "v1", {"b": b"b"})
    return view


def test_a_file_that_another_client_removed_a_moment_ago_is_made_anew(
    removed: Mounted, foreign: Foreign, repository: str
) -> None:
    removed.write_bytes("a", b"new")
    assert foreign.files(repository, "v1") == {"a": b"new", "b": b"b"}


def test_a_file_that_another_client_removed_a_moment_ago_is_not_there_to_be_read(removed: Mounted) -> None:
    with refused(errno.ENOENT):
        removed.read_bytes("a")
