"""regfs:// through fsspec: looking, reading, writing, sharing, against a real registry."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest

from regfs.fsspec import RegistryFileSystem
from tests.contents import content_of
from tests.counting import Counting
from tests.library.conftest import NewFileSystem
from tests.registries import PASSWORD, USER, Registry
from tests.scenarios.foreign import Foreign

LARGE = 9 << 20  # bytes; over those that are fetched whole


@pytest.fixture
def tag(registry: Registry, repository: str) -> str:
    """The path of a tag that does not exist."""
    return f"{registry.host}/{repository}:tag"


# Looking


def test_a_url_is_opened_by_its_protocol(fs: RegistryFileSystem, tag: str, tmp_path: Path) -> None:
    fs.pipe_file(f"{tag}/deep/file", b"content")
    with fsspec.open(f"regfs://{tag}/deep/file", "rb", **fs.storage_options) as file:
        assert file.read() == b"content"


def test_info_has_digest_type_and_annotations(fs: RegistryFileSystem, tag: str, foreign: Foreign) -> None:
    fs.pipe_file(f"{tag}/a.json", b"{}")
    found = fs.info(f"{tag}/a.json")
    assert (found["name"], found["size"], found["type"]) == (f"{tag}/a.json", 2, "file")
    assert found["digest"] == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert found["media_type"] == "application/json"
    assert found["annotations"]["org.opencontainers.image.title"] == "a.json"
    assert time.time() - 60 < found["mtime"] <= time.time() + 1
    assert fs.checksum(f"{tag}/a.json") == fs.ukey(f"{tag}/a.json") == found["digest"]


def test_a_tag_has_the_digest_of_its_manifest(fs: RegistryFileSystem, tag: str) -> None:
    fs.pipe_file(f"{tag}/a", b"1")
    manifest = json.loads(fs.cat_file(f"{tag}/.oci/manifest.json"))
    repository = tag.partition(":tag")[0]
    pinned = f"{repository}@{fs.info(tag)['digest']}"
    assert [layer["size"] for layer in manifest["layers"]] == [1]
    assert fs.cat_file(f"{pinned}/a") == b"1"


def test_a_tag_is_one_directory_by_both_its_names(fs: RegistryFileSystem, tag: str) -> None:
    fs.pipe({f"{tag}/a": b"1", f"{tag}/sub/b": b"22"})
    repository = tag.removesuffix(":tag")
    assert fs.ls(repository, detail=False) == [f"{repository}/tag"]
    assert sorted(fs.find(repository)) == [f"{repository}/tag/a", f"{repository}/tag/sub/b"]
    assert fs.glob(f"{tag}/**/b") == [f"{tag}/sub/b"]
    assert fs.du(tag) == 3
    assert [names for _, names, _ in fs.walk(tag)] == [["sub"], []]


def test_what_is_not_there_is_not_found(fs: RegistryFileSystem, tag: str) -> None:
    for ask in (fs.info, fs.ls, fs.cat_file, fs.rm):
        with pytest.raises(FileNotFoundError) as caught:
            ask(f"{tag}/missing")
        assert caught.value.filename == f"{tag}/missing"
    assert not fs.exists(f"{tag}/missing")


# Reading


def test_a_range_of_a_large_file_moves_a_part_of_it(
    fs: RegistryFileSystem, repository: str, foreign: Foreign, proxy: Counting
) -> None:
    content = content_of(LARGE)
    foreign.artifact(repository, "tag", {"large": content})
    proxy.begin()
    path = f"{proxy.server.host}/{repository}:tag/large"
    with fs.open(path) as file:
        assert file.seek(-10, os.SEEK_END) == LARGE - 10
        assert file.read() == content[-10:]
        buffer = bytearray(100)
        assert file.seek(5) == 5
        assert file.readinto(buffer) == 100
        assert bytes(buffer) == content[5:105]
    assert fs.cat_file(path, -20, -10) == content[-20:-10]
    assert proxy.moved < LARGE / 2


def test_many_ranges_fetch_each_chunk_once(
    fs: RegistryFileSystem, repository: str, foreign: Foreign, proxy: Counting
) -> None:
    content = content_of(LARGE)
    foreign.artifact(repository, "tag", {"large": content, "small": b"0123456789"})
    base = f"{proxy.server.host}/{repository}:tag"
    starts = [(number * 7919 * 1000) % (LARGE - 50) for number in range(300)]
    proxy.begin()
    paths = [f"{base}/large"] * len(starts)
    found = fs.cat_ranges([*paths, f"{base}/small", f"{base}/none"], [*starts, 3, 0], [*(s + 50 for s in starts), 5, 1])
    assert found[:-2] == [content[start : start + 50] for start in starts]
    assert found[-2] == b"34"
    assert isinstance(found[-1], FileNotFoundError)
    assert proxy.moved <= LARGE + 10
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([f"{base}/none"], 0, 1, on_error="raise")


def test_a_reader_stays_with_its_bytes(fs: RegistryFileSystem, tag: str) -> None:
    fs.pipe_file(f"{tag}/a", b"first")
    with fs.open(f"{tag}/a") as file:
        assert file.read(2) == b"fi"
        with pickle.loads(pickle.dumps(file)) as same:
            assert same.read() == b"rst"
        fs.pipe_file(f"{tag}/a", b"second")
        assert file.read() == b"rst"
        with pytest.raises(OSError, match="changed"):
            pickle.loads(pickle.dumps(file))
    assert fs.cat_file(f"{tag}/a") == b"second"


@pytest.mark.logs("they are dropped")
def test_bytes_that_are_not_the_digest_are_not_read(
    fs: RegistryFileSystem, registry: Registry, repository: str, foreign: Foreign
) -> None:
    foreign.artifact(repository, "tag", {"a": b"right"})
    digest = fs.info(f"{registry.host}/{repository}:tag/a")["digest"]
    registry.blob_path(digest).write_bytes(b"wrong")
    with pytest.raises(OSError) as caught:
        fs.cat_file(f"{registry.host}/{repository}:tag/a")
    assert caught.value.errno == errno.EIO


# Writing


def test_a_close_is_a_push_and_has_its_error(lab: Any, new_fs: NewFileSystem) -> None:
    refusing = lab.start("plain", read_only=True)
    fs = new_fs()
    file = fs.open(f"{refusing.host}/new/repo:tag/a", "wb")
    file.write(b"content")
    with pytest.raises(OSError) as caught:
        file.close()
    assert caught.value.filename == f"{refusing.host}/new/repo:tag/a"
    assert not fs.exists(f"{refusing.host}/new/repo:tag/a")
    kept = [path.read_bytes() for path in Path(fs.storage_options["state_dir"]).glob("journal/*/data")]
    assert kept == [b"content"]
    refusing.stop()


def test_a_file_is_written_in_any_order(fs: RegistryFileSystem, tag: str) -> None:
    with fs.open(f"{tag}/a", "w+b") as file:
        file.write(b"0123456789")
        file.seek(2)
        file.write(b"xx")
        file.truncate(6)
        file.seek(0)
        assert file.read() == b"01xx45"
    with fs.open(f"{tag}/a", "ab") as file:
        file.write(b"!")
    with fs.open(f"{tag}/a", "r+b") as file:
        file.write(b"_")
    assert fs.cat_file(f"{tag}/a") == b"_1xx45!"


def test_a_transaction_is_one_manifest(fs: RegistryFileSystem, repository: str, proxy: Counting) -> None:
    tag = f"{proxy.server.host}/{repository}:tag"
    with fs.transaction:
        for number in range(5):
            with fs.open(f"{tag}/{number}", "wb") as file:
                file.write(b"%d" % number)
            assert not fs.exists(f"{tag}/{number}")
        fs.pipe_file(f"{tag}/piped", b"p")
    puts = [request.path for request, _ in proxy.exchanges if request.method == "PUT" and "/manifests/" in request.path]
    assert len(puts) == 1
    assert fs.cat(tag, recursive=True) == {
        f"{tag}/{name}": content for name, content in [*((str(n), b"%d" % n) for n in range(5)), ("piped", b"p")]
    }


def _written_in_transaction(fs: RegistryFileSystem, path: str) -> None:
    with fs.transaction:
        fs.pipe_file(path, b"content")
        raise RuntimeError("after the write")


def test_a_transaction_that_fails_leaves_nothing(fs: RegistryFileSystem, tag: str) -> None:
    with pytest.raises(RuntimeError, match="after the write"):
        _written_in_transaction(fs, f"{tag}/a")
    assert not fs.exists(f"{tag}/a")
    assert list(Path(fs.storage_options["state_dir"]).glob("journal/*/data")) == []
    fs.pipe_file(f"{tag}/b", b"after it")
    assert fs.cat_file(f"{tag}/b") == b"after it"


def test_many_files_are_put_by_one_manifest(
    fs: RegistryFileSystem, repository: str, proxy: Counting, tmp_path: Path
) -> None:
    (tmp_path / "local/sub").mkdir(parents=True)
    for number in range(20):
        (tmp_path / f"local/sub/{number}").write_text(str(number))
    tag = f"{proxy.server.host}/{repository}:tag"
    fs.put(f"{tmp_path}/local/", f"{tag}/", recursive=True)
    puts = [request.path for request, _ in proxy.exchanges if request.method == "PUT" and "/manifests/" in request.path]
    assert len(puts) == 1
    fs.get(f"{tag}/", f"{tmp_path}/back", recursive=True)
    assert {path.name: path.read_text() for path in (tmp_path / "back/sub").iterdir()} == {
        str(number): str(number) for number in range(20)
    }


def test_a_copy_and_a_move_transfer_no_bytes(
    fs: RegistryFileSystem, repository: str, foreign: Foreign, proxy: Counting
) -> None:
    foreign.artifact(repository, "tag", {"a": content_of(LARGE)})
    tag, other = f"{proxy.server.host}/{repository}:tag", f"{proxy.server.host}/{repository}/other:new"
    proxy.begin()
    fs.cp_file(f"{tag}/a", f"{tag}/b")
    fs.cp_file(f"{tag}/a", f"{other}/c")
    fs.mv(f"{tag}/a", f"{tag}/moved")
    fs.mv(other, f"{proxy.server.host}/{repository}/other:renamed", recursive=True)
    sent = sum(len(request.body) for request, _ in proxy.exchanges)
    assert (proxy.moved < 1000, sent < 20_000) == (True, True)
    digests = {fs.info(path)["digest"] for path in (f"{tag}/b", f"{tag}/moved", other.replace("new", "renamed") + "/c")}
    assert len(digests) == 1
    assert not fs.exists(other)
    assert not fs.exists(f"{tag}/a")


def test_removing_a_tag_leaves_other_tags(fs: RegistryFileSystem, tag: str) -> None:
    other = tag.replace(":tag", ":other")
    fs.pipe({f"{tag}/a": b"1", f"{tag}/b": b"2"})
    fs.cp(tag, other, recursive=True)
    fs.rm(f"{tag}/a")
    assert fs.ls(tag, detail=False) == [f"{tag}/b"]
    with pytest.raises(IsADirectoryError):
        fs.rm(tag)
    fs.rm(tag, recursive=True)
    assert not fs.exists(tag)
    assert sorted(fs.cat(other, recursive=True)) == [f"{other}/a", f"{other}/b"]
    with pytest.raises(PermissionError):
        fs.rm(tag.removesuffix(":tag"), recursive=True)


def test_a_digest_is_read_only(fs: RegistryFileSystem, tag: str) -> None:
    fs.pipe_file(f"{tag}/a", b"1")
    pinned = tag.replace(":tag", "@" + fs.info(tag)["digest"])
    with pytest.raises(OSError) as caught:
        fs.pipe_file(f"{pinned}/b", b"2")
    assert caught.value.errno == errno.EROFS


def test_a_read_only_file_system_refuses_changes(new_fs: NewFileSystem, fs: RegistryFileSystem, tag: str) -> None:
    fs.pipe_file(f"{tag}/a", b"1")
    reading = new_fs(read_only=True)
    assert reading.cat_file(f"{tag}/a") == b"1"
    for change in (lambda: reading.pipe_file(f"{tag}/b", b""), lambda: reading.rm(f"{tag}/a"),
                   lambda: reading.mv(f"{tag}/a", f"{tag}/c"), lambda: reading.open(f"{tag}/a", "wb")):  # fmt: skip
        with pytest.raises(OSError) as caught:
            change()
        assert caught.value.errno == errno.EROFS


# Logins and options


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(TypeError, match="usrname"):
        RegistryFileSystem(usrname="fred")
    with pytest.raises(ValueError, match="anon"):
        RegistryFileSystem(anon=True, username="fred")


def test_a_login_is_given_or_found(
    htpasswd: Registry, new_fs: NewFileSystem, repository: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = f"{htpasswd.host}/{repository}:tag/a"
    given = new_fs(ca_file=htpasswd.lab.ca, username=USER, password=PASSWORD)
    given.pipe_file(path, b"secret")
    with pytest.raises(PermissionError) as caught:
        new_fs(ca_file=htpasswd.lab.ca, anon=True).cat_file(path)
    assert PASSWORD not in str(caught.value)
    monkeypatch.setenv("REGFS_USERNAME", USER)
    monkeypatch.setenv("REGFS_PASSWORD", PASSWORD)
    assert new_fs(ca_file=htpasswd.lab.ca).cat_file(path) == b"secret"


def test_no_secret_is_pickled_or_shown(new_fs: NewFileSystem) -> None:
    fs = new_fs(username="fred", password="very-secret")
    pickled = pickle.dumps(fs)
    assert b"very-secret" not in pickled
    assert "very-secret" not in repr(fs.session("localhost:1").access) + fs.to_json(include_password=False)
    assert pickle.loads(pickled).storage_options["username"] == "fred"


def test_an_unreachable_registry_is_a_connection_error(fs: RegistryFileSystem) -> None:
    with pytest.raises(ConnectionError, match="refused"):
        fs.ls("localhost:1/repository")


def test_messages_name_options_of_the_library(fs: RegistryFileSystem, tls: Registry) -> None:
    with pytest.raises(ConnectionError, match="ca_file") as caught:
        fs.ls(f"{tls.host}/repository")
    assert "--" not in str(caught.value)


# Sharing


def test_instances_with_equal_options_are_one(new_fs: NewFileSystem) -> None:
    assert new_fs() is new_fs()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(new_fs).result()
    assert other.session("localhost:1") is new_fs().session("localhost:1")


def test_threads_share_a_file_system(fs: RegistryFileSystem, tag: str) -> None:
    paths = [f"{tag}/{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: fs.pipe_file(path, path.encode()), paths))
        assert list(pool.map(fs.cat_file, paths)) == [path.encode() for path in paths]


def test_another_process_reads_what_a_pickle_names(fs: RegistryFileSystem, tag: str) -> None:
    fs.pipe_file(f"{tag}/a", b"content")
    program = "import pickle, sys; fs, path = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(fs.cat_file(path))"
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps((fs, f"{tag}/a")), capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"content", b"")


def test_a_fork_reads_and_writes_by_itself(
    fs: RegistryFileSystem, registry: Registry, repository: str, foreign: Foreign
) -> None:
    content = content_of(LARGE)
    foreign.artifact(repository, "tag", {"large": content})
    tag = f"{registry.host}/{repository}:tag"
    writing = fs.open(f"{tag}/written", "wb")
    writing.write(b"by the parent")
    with fs.open(f"{tag}/large") as file:
        assert file.read(10) == content[:10]
        child = os.fork()
        if child == 0:
            status = 1
            try:
                file.seek(LARGE - 100)
                assert file.read() == content[-100:]
                fs.pipe_file(f"{tag}/child", b"by the child")
                writing.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    fs.invalidate_cache(tag)
    assert not fs.exists(f"{tag}/written")
    writing.close()
    assert fs.cat([f"{tag}/written", f"{tag}/child"]) == {
        f"{tag}/written": b"by the parent",
        f"{tag}/child": b"by the child",
    }


def test_the_cache_is_the_one_of_mounts(
    fs: RegistryFileSystem, repository: str, foreign: Foreign, proxy: Counting, mount: Any
) -> None:
    content = content_of(LARGE)
    foreign.artifact(repository, "tag", {"large": content})
    assert fs.cat_file(f"{proxy.server.host}/{repository}:tag/large") == content
    view = mount(f"{proxy.url}/{repository}:tag", cache_dir=fs.storage_options["cache_dir"])
    proxy.begin()
    assert view.read_bytes("large") == content
    assert proxy.blobs == []


def test_programs_that_need_no_mount_load_no_fuse() -> None:
    program = (
        "import sys, regfs.fsspec; before = set(sys.modules);"
        "assert not before & {'requests', 'fuse', 'click'}, before;"
        "import regfs.session, regfs.library.files;"
        "assert not {name for name in sys.modules if name == 'fuse' or name.startswith('regfs.mount')}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_text_is_read_and_written(fs: RegistryFileSystem, tag: str) -> None:
    with fs.open(f"{tag}/lines", "w") as file:
        file.write("ä\nb\n")
    with fs.open(f"{tag}/lines") as file:
        assert (file.readline(), list(file)) == ("ä\n".encode(), [b"b\n"])
    assert fs.read_text(f"{tag}/lines") == "ä\nb\n"
    assert isinstance(fs.open(f"{tag}/lines"), io.BufferedReader)
