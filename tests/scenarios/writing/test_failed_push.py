"""A push that fails makes close fail, and the bytes are in the journal until they are pushed or dropped."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.links import Link
from tests.logs import A_MOMENT_AGO, NOT_PUSHED, STALE
from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted, eventually, refused, run
from tests.servers import Answer, Request, Server, forward

Mount = Callable[..., Mounted]


@pytest.fixture
def view(mount: Mount, registry: Registry, foreign: Foreign, repository: str) -> Mounted:
    """A mount of a registry that has one repository with one alias."""
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    return mount(registry.url)


def spoiling(registry: Registry, spoil: Callable[[Request], Answer | None]) -> Server:
    """A proxy before *registry* that answers by itself what *spoil* has an answer for."""
    honest = forward(registry.host)
    return Server(lambda request: spoil(request) or honest(request))


def cp(source: Path, view: Mounted, path: str) -> subprocess.CompletedProcess[str]:
    """Copy a file in, as a person does."""
    return subprocess.run(["cp", source, view.path(path)], capture_output=True, text=True, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to copy in."""
    made = tmp_path / "file.bin"
    made.write_bytes(os.urandom(300_000))
    return made


@pytest.mark.logs(STALE, A_MOMENT_AGO, NOT_PUSHED)
def test_a_stopped_registry_makes_cp_fail(view: Mounted, registry: Registry, repository: str, file: Path) -> None:
    view.list(f"{repository}/v1")
    registry.stop()
    done = cp(file, view, f"{repository}/v1/new.bin")
    assert done.returncode == 1
    assert "No route to host" in done.stderr
    assert view.journal() == [file.read_bytes()]


@pytest.mark.logs(STALE, A_MOMENT_AGO, NOT_PUSHED)
def test_pending_lists_and_push_pending_pushes(
    view: Mounted, registry: Registry, foreign: Foreign, repository: str, file: Path
) -> None:
    view.list(f"{repository}/v1")
    registry.stop()
    cp(file, view, f"{repository}/v1/new.bin")
    listed = run("pending", environment=view.environment).stdout
    assert f"{registry.host}/{repository}:v1 new.bin" in listed
    assert str(file.stat().st_size) in listed
    assert run("push-pending", environment=view.environment).returncode == 1
    assert view.journal() == [file.read_bytes()]
    registry.restart()
    pushed = run("push-pending", environment=view.environment)
    assert (pushed.returncode, pushed.stderr) == (0, "")
    eventually(view.journal, [])
    assert foreign.files(repository, "v1") == {"there.txt": b"there", "new.bin": file.read_bytes()}
    assert run("pending", environment=view.environment).stdout == ""


@pytest.mark.logs(STALE, A_MOMENT_AGO, NOT_PUSHED)
def test_pending_files_can_be_chosen_and_dropped(
    view: Mounted, registry: Registry, foreign: Foreign, repository: str, file: Path
) -> None:
    view.list(f"{repository}/v1")
    registry.stop()
    for name in ("a.bin", "b.bin"):
        cp(file, view, f"{repository}/v1/{name}")
    registry.restart()
    lines = run("pending", environment=view.environment).stdout.splitlines()
    identifiers = {line.split()[-1]: line.split()[0] for line in lines}
    dropped = run("push-pending", "--drop", "--yes", identifiers["a.bin"], environment=view.environment)
    assert (dropped.returncode, len(view.journal())) == (0, 1)
    assert run("push-pending", identifiers["b.bin"], environment=view.environment).returncode == 0
    assert sorted(foreign.files(repository, "v1")) == ["b.bin", "there.txt"]
    unknown = run("push-pending", "nothing", environment=view.environment)
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (1, 1)


@pytest.mark.logs(STALE, A_MOMENT_AGO, NOT_PUSHED)
def test_dropping_asks_and_takes_no_for_an_answer(
    view: Mounted, registry: Registry, repository: str, file: Path
) -> None:
    view.list(f"{repository}/v1")
    registry.stop()
    cp(file, view, f"{repository}/v1/new.bin")
    assert run("push-pending", "--drop", environment=view.environment).returncode != 0
    assert view.journal() == [file.read_bytes()]


@pytest.mark.logs(STALE, A_MOMENT_AGO, NOT_PUSHED)
def test_a_second_cp_that_succeeds_clears_the_journal(
    view: Mounted, registry: Registry, foreign: Foreign, repository: str, file: Path
) -> None:
    view.list(f"{repository}/v1")
    registry.stop()
    assert cp(file, view, f"{repository}/v1/new.bin").returncode == 1
    registry.restart()
    eventually(lambda: cp(file, view, f"{repository}/v1/new.bin").returncode, 0)
    eventually(view.journal, [])
    assert foreign.files(repository, "v1")["new.bin"] == file.read_bytes()


@pytest.mark.parametrize(
    ("status", "number"),
    [(405, errno.EPERM), (403, errno.EACCES), (413, errno.EFBIG), (500, errno.EIO), (507, errno.ENOSPC)],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.logs(r"^close .*: \S+ answers \d+ ", NOT_PUSHED)
def test_what_the_registry_refuses_is_told_at_close(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, status: int, number: int, method: str
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    with spoiling(registry, lambda request: Answer(status) if request.method == method else None) as proxy:
        view = mount(f"http://{proxy.host}")
        with refused(number):
            view.write_bytes(f"{repository}/v1/new.bin", b"new")
        assert view.journal() == [b"new"]
        assert view.list(f"{repository}/v1") == ["there.txt"]
    assert sorted(foreign.files(repository, "v1")) == ["there.txt"]


@pytest.mark.logs(r"^close .*: \S+ answers 400 ", NOT_PUSHED)
def test_a_refused_manifest_leaves_the_alias_as_it_was(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    before = foreign.artifact(repository, "v1", {"there.txt": b"there"})

    def refuses(request: Request) -> Answer | None:
        return Answer(400) if request.method == "PUT" and "/manifests/" in request.path else None

    with spoiling(registry, refuses) as proxy:
        view = mount(f"http://{proxy.host}")
        with refused(errno.EIO):
            view.write_bytes(f"{repository}/v1/there.txt", b"changed")
        assert view.journal() == [b"changed"]
        assert view.read_bytes(f"{repository}/v1/there.txt") == b"there"
    assert foreign.digest(repository, "v1") == before


@pytest.mark.parametrize("times", [1, 9])
@pytest.mark.logs(r"got another manifest than was sent", r"^close .*: expected digest ", NOT_PUSHED)
def test_a_manifest_that_is_another_one_on_arrival_is_not_called_published(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, times: int
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    honest, spoilt = forward(registry.host), []

    def spoil(request: Request) -> Answer:
        if request.method == "PUT" and "/manifests/" in request.path and len(spoilt) < times:
            spoilt.append(request)
            request = replace(request, body=request.body.replace(b"new.txt", b"nev.txt"))
        return honest(request)

    with Server(spoil) as proxy:
        view = mount(f"http://{proxy.host}")
        if times == 1:
            view.write_bytes(f"{repository}/v1/new.txt", b"new")
            assert foreign.files(repository, "v1") == {"there.txt": b"there", "new.txt": b"new"}
        else:
            with refused(errno.EIO):
                view.write_bytes(f"{repository}/v1/new.txt", b"new")
            assert view.journal() == [b"new"]


def test_a_registry_that_fails_in_passing_is_asked_again(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    failures = {"POST": 1, "PUT": 2}

    def fails(request: Request) -> Answer | None:
        if failures.get(request.method, 0):
            failures[request.method] -= 1
            return Answer(503)
        return None

    with spoiling(registry, fails) as proxy:
        view = mount(f"http://{proxy.host}")
        view.write_bytes(f"{repository}/v1/new.txt", b"new")
    assert foreign.files(repository, "v1")["new.txt"] == b"new"


@pytest.mark.logs(r"^close .*: (unauthorized|\S+ answers 401 .*)$", NOT_PUSHED)
def test_a_user_who_may_only_read_is_told_so(mount: Mount, token_registry: Registry, tmp_path: Path) -> None:
    tokens = token_registry
    view = mount(tokens.url, ca_file=tokens.lab.ca, repository="public/readable")
    view.mkdir("public/readable:v1")
    with refused(errno.EACCES):
        view.write_bytes("public/readable:v1/new.txt", b"new")
    assert view.journal() == [b"new"]


@pytest.mark.logs(r"^close .*: \S+ answers 403 ", r"^create .*: the registry denied a push to ", NOT_PUSHED)
def test_after_a_denied_push_the_next_file_is_refused_when_it_is_opened(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    with spoiling(registry, lambda request: Answer(403) if request.method == "POST" else None) as proxy:
        view = mount(f"http://{proxy.host}")
        with refused(errno.EACCES):
            view.write_bytes(f"{repository}/v1/new.txt", b"new")
        asked = len(proxy.requests)
        with refused(errno.EACCES):
            view.open(f"{repository}/v1/another.txt", os.O_WRONLY | os.O_CREAT)
        assert [request.method for request in proxy.requests[asked:] if request.method != "GET"] == []
    assert view.journal() == [b"new"]


@pytest.mark.logs(
    r"^(fsync|close) .*: localhost:\d+: Failed to establish a new connection: .*Connection refused$",
    A_MOMENT_AGO,
    NOT_PUSHED,
)
def test_fsync_fails_like_close(view: Mounted, registry: Registry, repository: str) -> None:
    view.list(f"{repository}/v1")
    handle = view.open(f"{repository}/v1/new.txt", os.O_WRONLY | os.O_CREAT)
    handle.write(b"new", 0)
    registry.stop()
    with refused(errno.EHOSTUNREACH):
        handle.sync()
    with refused(errno.EHOSTUNREACH):
        handle.close()
    assert view.journal() == [b"new"]


@pytest.mark.logs(STALE, A_MOMENT_AGO, NOT_PUSHED)
def test_unmounting_says_what_was_not_pushed(view: Mounted, registry: Registry, repository: str, file: Path) -> None:
    view.list(f"{repository}/v1")
    registry.stop()
    cp(file, view, f"{repository}/v1/new.bin")
    done = run("umount", str(view.directory), environment=view.environment)
    assert done.returncode == 1
    assert done.stderr == f"regfs: {view.directory} is unmounted; 1 file was not pushed, see: regfs pending\n"


def test_sigterm_pushes_what_is_open(view: Mounted, registry: Registry, foreign: Foreign, repository: str) -> None:
    handle = view.open(f"{repository}/v1/new.txt", os.O_WRONLY | os.O_CREAT)
    handle.write(b"new", 0)
    os.kill(view.pid, signal.SIGTERM)
    eventually(lambda: foreign.files(repository, "v1").get("new.txt"), b"new")
    with refused(errno.ENOTCONN, errno.EIO, errno.ECONNABORTED):
        handle.write(b"more", 0)
    with pytest.raises(OSError):
        handle.close()


def test_a_lost_connection_in_the_middle_of_a_push_is_gone_on_with(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    content = os.urandom(150 << 20)
    (tmp_path / "big.bin").write_bytes(content)
    with Link(registry.host, cuts=[100 << 20, 90 << 20, 10 << 20]) as link:
        view = mount(f"http://{link.host}")
        assert cp(tmp_path / "big.bin", view, f"{repository}/v1/big.bin").returncode == 0
        assert link.made_cuts == 3
    assert foreign.files(repository, "v1")["big.bin"] == content
    eventually(view.journal, [])


@pytest.mark.logs(r"^open .*/lost.txt: sha256:\w+ ended at byte 0 of 140000$")
def test_a_blob_that_garbage_collection_took_is_pushed_again(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    content = b"lost and found" * 10_000  # a small one is sent without asking for it
    digest = foreign.artifact(repository, "v1", {"lost.txt": content})
    foreign.delete(repository, digest)
    registry.gc()
    foreign.artifact(repository, "v2", {"there.txt": b"there"})
    view = mount(registry.url)
    view.write_bytes(f"{repository}/v2/lost.txt", content)
    view = mount(registry.url)
    with refused(errno.EIO, errno.ENOENT):
        view.read_bytes(f"{repository}/v2/lost.txt")
    view.write_bytes(f"{repository}/v2/lost.txt", content)
    assert mount(registry.url).read_bytes(f"{repository}/v2/lost.txt") == content
