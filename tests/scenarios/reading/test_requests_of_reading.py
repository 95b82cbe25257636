"""What the registry is asked, counted: bytes for the piece that is read, nothing twice, nothing for invented names."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from regfs.cache.partial import CHUNK
from tests.contents import MIB, content_of
from tests.counting import Counting
from tests.scenarios.foreign import Foreign
from tests.scenarios.making import Mount
from tests.scenarios.reading.conftest import counter, process_of, read
from tests.scenarios.views import eventually, refused
from tests.servers import Answer, Request

LARGE = content_of(64 * MIB)
INVENTED = (".git", ".Trash", ".Trash-1000", ".hidden", "autorun.inf", ".xdg-volume-info", "HEAD", ".directory")


def looked_up(path: str) -> None:
    """Look a missing name up as a shell does."""
    assert not os.path.lexists(path)


def test_the_first_byte_of_a_large_blob_moves_one_chunk(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": LARGE})
    view = mount(f"{proxy.url}/{repository}")
    done = subprocess.run(["head", "-c", "1", view.path("v1/large")], capture_output=True, check=True)
    assert done.stdout == LARGE[:1]
    assert 0 < proxy.moved <= CHUNK


def test_a_piece_at_a_far_offset_moves_one_chunk(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": LARGE})
    view = mount(f"{proxy.url}/{repository}")
    offset = 50 * MIB
    assert read(view, "v1/large", 64 << 10, offset) == LARGE[offset : offset + (64 << 10)]
    assert 0 < proxy.moved <= CHUNK


def test_three_pieces_far_apart_move_three_chunks(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": LARGE})
    view = mount(f"{proxy.url}/{repository}")
    with open(view.path("v1/large"), "rb", buffering=0) as file:
        for offset in (50 * MIB, 10 * MIB, 30 * MIB):
            assert os.pread(file.fileno(), 4096, offset) == LARGE[offset : offset + 4096]
    assert proxy.moved <= 3 * CHUNK


def test_a_large_blob_read_whole_moves_each_byte_once(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": LARGE})
    view = mount(f"{proxy.url}/{repository}")
    assert read(view, "v1/large") == LARGE
    assert proxy.moved == len(LARGE)


def test_listing_a_repository_is_one_request_and_again_none(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v0", {"a": b"content"})
    body = ('{"tags": ["v' + '", "v'.join(map(str, range(300))) + '"]}').encode()
    proxy.instead = lambda request: Answer(200, (), body) if "tags/list" in request.path else None
    view = mount(proxy.url)
    os.listdir(view.directory)
    proxy.begin()
    listed = subprocess.run(["ls", "-l", view.path(repository)], capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 301
    assert proxy.asked == [f"{repository}/tags/list"]
    subprocess.run(["ls", "-l", view.path(repository)], capture_output=True, check=True)
    assert proxy.asked == [f"{repository}/tags/list"]


def test_listing_an_alias_is_one_manifest(proxy: Counting, foreign: Foreign, mount: Mount, repository: str) -> None:
    foreign.artifact(repository, "v1", {f"file{number}": b"%d" % number for number in range(20)})
    view = mount(f"{proxy.url}/{repository}")
    os.listdir(view.directory)
    proxy.begin()
    for _ in range(2):
        listed = subprocess.run(["ls", "-l", view.path("v1")], capture_output=True, text=True, check=True)
        assert len(listed.stdout.splitlines()) == 21
        assert proxy.asked == [f"{repository}/manifests/v1"]


def test_after_its_time_an_alias_is_asked_for_with_what_is_known(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    digest = foreign.artifact(repository, "v1", {"a": b"content"})
    view = mount(f"{proxy.url}/{repository}:v1", ttl=1)
    assert os.listdir(view.directory) == ["a"]
    proxy.begin()
    eventually(lambda: os.listdir(view.directory) == ["a"] and bool(proxy.asked))
    (request, answer), *_ = proxy.exchanges
    assert request.headers["if-none-match"] == f'"{digest}"'
    assert (answer.status, answer.body) == (304, b"")
    assert {answer.status for _, answer in proxy.exchanges} == {304}


def test_a_remount_asks_for_an_alias_with_what_is_known(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"content"})
    first = mount(f"{proxy.url}/{repository}:v1")
    proxy.begin()
    mount(f"{proxy.url}/{repository}:v1", cache_dir=first.cache)
    manifests = [answer.status for request, answer in proxy.exchanges if "/manifests/" in request.path]
    assert manifests == [304]


def test_a_missing_name_inside_an_alias_is_no_request(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"dir/a": b"content"})
    view = mount(proxy.url)
    os.listdir(view.path(f"{repository}/v1"))
    proxy.begin()
    for name in (*INVENTED, "missing", "file:with-colon", "a" * 200):
        looked_up(view.path(f"{repository}/v1/{name}"))
        looked_up(view.path(f"{repository}/v1/dir/{name}"))
    assert proxy.asked == []


def test_a_missing_name_in_a_repository_is_no_request_while_its_list_is_fresh(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"content"})
    view = mount(proxy.url)
    os.listdir(view.path(repository))
    proxy.begin()
    for name in (*INVENTED, "missing", "v2"):
        looked_up(view.path(f"{repository}/{name}"))
    assert proxy.asked == []


def test_a_missing_name_at_the_root_is_no_request_while_the_catalog_is_fresh(proxy: Counting, mount: Mount) -> None:
    view = mount(proxy.url)
    os.listdir(view.directory)
    proxy.begin()
    for name in (*INVENTED, "missing"):
        looked_up(view.path(name))
    assert proxy.asked == []


def no_catalog(request: Request) -> Answer | None:
    """What a registry without a catalog answers."""
    return Answer(404) if "_catalog" in request.path else None


def test_without_a_catalog_a_missing_name_at_the_root_is_one_request_and_then_none_for_a_while(
    proxy: Counting, mount: Mount
) -> None:
    proxy.instead = no_catalog
    view = mount(proxy.url)
    os.listdir(view.directory)
    proxy.begin()
    for _ in range(20):
        assert os.path.isdir(view.path("missing"))  # or a namespace: there is no telling
    assert proxy.asked == ["missing/tags/list"]


def test_without_a_catalog_names_that_no_repository_can_have_are_no_request(proxy: Counting, mount: Mount) -> None:
    proxy.instead = no_catalog
    view = mount(proxy.url)
    os.listdir(view.directory)
    proxy.begin()
    for name in INVENTED:
        os.path.lexists(view.path(name))
    assert [path for path in proxy.asked if path != "autorun.inf/tags/list"] == []
    assert len(proxy.asked) <= 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.logs(r"^list /missing: (unauthorized|403 Client Error: .*)$")
def test_where_a_registry_denies_what_is_not_there_it_is_asked_once(proxy: Counting, mount: Mount, status: int) -> None:
    def denies(request: Request) -> Answer | None:
        return no_catalog(request) or (Answer(status) if "missing/" in request.path else None)

    proxy.instead = denies
    view = mount(proxy.url)
    os.listdir(view.directory)
    proxy.begin()
    for _ in range(20):
        with refused(errno.EACCES):
            os.listdir(view.path("missing"))
    assert len(proxy.asked) <= 2


def test_without_a_catalog_a_nested_repository_is_found_by_going_through_its_namespace(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(f"{repository}/deep/er", "v1", {"file.txt": b"found"})
    proxy.instead = lambda request: (
        no_catalog(request) or (Answer(401) if request.path.endswith(f"/{repository}/deep/tags/list") else None)
    )
    view = mount(proxy.url)
    assert view.read_bytes(f"{repository}/deep/er/v1/file.txt") == b"found"
    assert view.list(f"{repository}/deep") == ["er"]


def test_without_a_catalog_a_directory_of_which_nothing_is_known_is_not_listed_as_empty(
    proxy: Counting, mount: Mount
) -> None:
    proxy.instead = no_catalog
    view = mount(proxy.url)
    with refused(errno.ENOENT):
        view.list("missing")


def test_without_a_catalog_a_new_repository_is_made_beside_others(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(f"{repository}/old", "v1", {"old.txt": b"old"})
    proxy.instead = no_catalog
    view = mount(proxy.url)
    view.mkdir(f"{repository}/new:v1")
    view.write_bytes(f"{repository}/new:v1/new.txt", b"new")
    assert foreign.files(f"{repository}/new", "v1") == {"new.txt": b"new"}
    assert view.read_bytes(f"{repository}/old/v1/old.txt") == b"old"


def test_finding_files_asks_the_daemon_for_no_file_s_attributes(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"file": b"content"})
    layer = foreign.document(repository, "v1")["layers"][0]
    title = "org.opencontainers.image.title"
    foreign.publish(repository, "v2", [{**layer, "annotations": {title: f"file{number}"}} for number in range(1000)])
    view = mount(f"{proxy.url}/{repository}:v2")
    process = process_of(view)
    before = counter(process, "syscr")
    found = subprocess.run(["find", view.directory, "-type", "f"], capture_output=True, check=True)
    assert len(found.stdout.splitlines()) == 1000
    assert counter(process, "syscr") - before < 300


def test_extended_attributes_are_no_request(proxy: Counting, foreign: Foreign, mount: Mount, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"content"})
    view = mount(f"{proxy.url}/{repository}")
    os.listdir(view.path("v1"))
    proxy.begin()
    assert view.xattrs("v1/a")["user.regfs.digest"].startswith("sha256:")
    assert view.xattrs("v1")["user.regfs.manifest_digest"].startswith("sha256:")
    assert proxy.asked == []


def test_a_large_repository_tree_costs_one_catalog(proxy: Counting, mount: Mount) -> None:
    names = [f"space{number % 7}/repository{number}" for number in range(200)]
    body = ('{"repositories": ["' + '", "'.join(names) + '"]}').encode()
    proxy.instead = lambda request: Answer(200, (), body) if "_catalog" in request.path else None
    view = mount(proxy.url)
    proxy.begin()
    for _ in range(2):
        for number in range(7):
            subprocess.run(["ls", "-l", view.path(f"space{number}")], capture_output=True, check=True)
    assert proxy.asked == ["_catalog"]
