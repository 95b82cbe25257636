"""Deleting a tag: what a registry answers is not believed, and where the tag stays, its files stay."""

from __future__ import annotations

import errno
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted, environment, refused, run
from tests.servers import Answer, Request, Server, forward

Mount = Callable[..., Mounted]
FILES = {"a.txt": b"a", "b.txt": b"b"}


@contextmanager
def answering(registry: Registry, answer: Callable[[Request], Answer | None]) -> Iterator[Server]:
    """A proxy before a registry that answers the deletions of manifests by itself, when it has an answer."""
    honest = forward(registry.host)

    def deleting(request: Request) -> Answer:
        mine = answer(request) if request.method == "DELETE" and "/manifests/" in request.path else None
        return mine or honest(request)

    with Server(deleting) as server:
        yield server


@pytest.fixture
def before(foreign: Foreign, repository: str) -> str:
    """The tag v1 with files; returns the digest of its manifest."""
    return foreign.artifact(repository, "v1", FILES)


def delete(host: str, repository: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Delete the tag v1, as a person does."""
    return run("rm", "-y", f"http://{host}/{repository}:v1", environment=environment(home))


@pytest.mark.parametrize("status", [400, 404, 405, 501, 202])
def test_a_tag_that_the_registry_does_not_delete_keeps_its_files(
    registry: Registry, foreign: Foreign, repository: str, before: str, status: int, tmp_path: Path
) -> None:
    with answering(registry, lambda request: Answer(status)) as proxy:
        done = delete(proxy.host, repository, tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert foreign.digest(repository, "v1") == before
    assert foreign.files(repository, "v1") == FILES


@pytest.mark.parametrize("status", [404, 405, 202])
def test_a_tag_that_is_gone_is_deleted_whatever_was_said(
    registry: Registry, foreign: Foreign, repository: str, before: str, status: int, tmp_path: Path
) -> None:
    foreign.put(repository, "other", foreign.manifest(repository, "v1"))

    def deletes(request: Request) -> Answer | None:
        registry.untag(repository, "v1")
        return Answer(status)

    with answering(registry, deletes) as proxy:
        done = delete(proxy.host, repository, tmp_path)
        puts = [request for request in proxy.requests if request.method == "PUT"]
    assert (done.returncode, done.stderr, puts) == (0, "", [])
    assert foreign.aliases(repository) == {"other"}


def test_a_registry_that_deletes_later_than_it_says_is_waited_for(
    registry: Registry, foreign: Foreign, repository: str, before: str, tmp_path: Path
) -> None:
    foreign.put(repository, "other", foreign.manifest(repository, "v1"))
    later = threading.Timer(0.3, registry.untag, (repository, "v1"))

    def deletes(request: Request) -> Answer | None:
        later.start()
        return Answer(202)

    with answering(registry, deletes) as proxy:
        done = delete(proxy.host, repository, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert foreign.aliases(repository) == {"other"}


@pytest.mark.logs(r"^rmdir .*: the registry does not delete ")
def test_rmdir_of_a_tag_that_stays_says_so(mount: Mount, registry: Registry, foreign: Foreign, repository: str) -> None:
    foreign.publish(repository, "v1", [])
    before = foreign.manifest(repository, "v1")
    with answering(registry, lambda request: Answer(404)) as proxy:
        view = mount(f"http://{proxy.host}")
        with refused(errno.EPERM):
            view.rmdir(f"{repository}/v1")
        assert view.list(repository) == ["v1"]
    assert foreign.manifest(repository, "v1") == before


def test_a_tag_that_is_made_again_meanwhile_is_left_alone(
    registry: Registry, foreign: Foreign, repository: str, before: str, tmp_path: Path
) -> None:
    made: list[str] = []

    def deletes(request: Request) -> Answer | None:
        made.append(foreign.artifact(repository, "v1", {"new.txt": b"new"}))
        return Answer(202)

    with answering(registry, deletes) as proxy:
        done = delete(proxy.host, repository, tmp_path)
    assert done.returncode == 0
    assert foreign.digest(repository, "v1") == made[0]


def rm(view: Mounted, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Remove files of a mount, as a person does who stands above them."""
    return subprocess.run(["rm", *arguments], cwd=view.directory, capture_output=True, text=True, check=False)


@pytest.fixture
def undeleting(registry: Registry) -> Iterator[Registry]:
    """A registry that deletes nothing."""
    started = registry.lab.start("plain", deletes=False)
    yield started
    started.stop()


NO_TAGS = r"^unlink .*: the registry deletes no tags of "


@pytest.mark.logs(NO_TAGS)
@pytest.mark.parametrize("arguments", [["-r", "{}/v1"], ["-rf", "{}/v1/"], ["--recursive", "./{}"], ["-R", "{}:v1"]])
def test_rm_r_of_a_tag_that_cannot_be_deleted_leaves_its_files(
    mount: Mount, undeleting: Registry, repository: str, arguments: list[str]
) -> None:
    client = Foreign(undeleting)
    before = client.artifact(repository, "v1", {"a.txt": b"a", "sub/b.txt": b"b"})
    view = mount(undeleting.url)
    done = rm(view, *(argument.format(repository) for argument in arguments))
    assert (done.returncode, "Operation not permitted" in done.stderr) == (1, True)
    assert client.digest(repository, "v1") == before
    client.close()


@pytest.mark.parametrize("arguments", [["{}/v1/a.txt"], ["-r", "{}/v1/v1"], ["-r", "{0}/v1/{0}", "{0}/v1/v1"]])
def test_files_of_a_tag_that_cannot_be_deleted_can_be_removed(
    mount: Mount, undeleting: Registry, repository: str, arguments: list[str]
) -> None:
    client = Foreign(undeleting)
    client.artifact(repository, "v1", {"a.txt": b"a", "v1/b.txt": b"b", f"{repository}/c.txt": b"c", "kept": b"k"})
    view = mount(undeleting.url)
    done = rm(view, *(argument.format(repository) for argument in arguments))
    assert (done.returncode, done.stderr) == (0, "")
    assert set(client.files(repository, "v1")) < {"a.txt", "v1/b.txt", f"{repository}/c.txt", "kept"}
    client.close()


def test_rm_r_of_a_tag_asks_once_whether_it_can_be_deleted(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", FILES)
    foreign.artifact(repository, "v2", FILES)
    with answering(registry, lambda request: None) as proxy:
        view = mount(f"http://{proxy.host}")
        assert rm(view, "-r", f"{repository}/v1").returncode == 0
        asked = len(proxy.requests)
        assert rm(view, "-r", f"{repository}/v2").returncode == 0
        deletions = [request.path for request in proxy.requests[asked:] if request.method == "DELETE"]
    assert len(deletions) == 2  # by tag, which docker-registry refuses, and by digest
    assert foreign.aliases(repository) == set()
