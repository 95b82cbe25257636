"""regfs.Session and regfs.open: one registry from Python, without fsspec and without a mount."""

from __future__ import annotations

from pathlib import Path

import pytest

import regfs
from regfs.library.sessions import split_location
from tests.contents import content_of
from tests.counting import Counting
from tests.registries import Registry
from tests.scenarios.foreign import Foreign


@pytest.fixture
def access(tmp_path: Path) -> regfs.Access:
    """A cache and a journal of the test's own."""
    return regfs.Access(cache_dir=tmp_path / "cache", state_dir=tmp_path / "state")


def test_one_file_is_opened_by_its_location(registry: Registry, repository: str, access: regfs.Access) -> None:
    location = f"{registry.host}/{repository}:tag/deep/file"
    with regfs.open(location, "wb", access=access) as file:
        assert file.write(b"content") == 7
    with regfs.open(f"regfs://{location}", access=access) as file:
        assert file.read(3) == b"con"
    with regfs.open(f"http://{location}", "r", access=access) as text:
        assert text.read() == "content"


def test_text_is_utf_8(registry: Registry, repository: str, access: regfs.Access) -> None:
    with regfs.open(f"{registry.host}/{repository}:tag/lines", "w", access=access) as file:
        file.write("ä\n")
    with regfs.open(f"{registry.host}/{repository}:tag/lines", access=access) as binary:
        assert binary.read() == "ä\n".encode()


def test_a_session_has_registry_cache_tags_and_files(
    registry: Registry, repository: str, access: regfs.Access, foreign: Foreign
) -> None:
    foreign.artifact(repository, "tag", {"a": b"1"})
    with regfs.Session(registry.host, access) as session:
        assert session.registry.tags(repository) == ["tag"]
        entry = session.files.entry((f"{repository}:tag", "a"))
        assert (entry.kind, entry.size) == ("file", 1)
        with session.open(f"{repository}:tag/a") as file:
            assert file.read() == b"1"
        assert entry.digest is not None
        assert session.cache.read(entry.digest) == b"1"
        session.tags.edit(repository, "tag", {("a",): None})
        assert list(session.files.list((f"{repository}:tag",))) == []


def test_a_closed_session_connects_again(registry: Registry, repository: str, access: regfs.Access) -> None:
    session = regfs.Session(registry.host, access)
    with session.open(f"{repository}:tag/a", "wb") as file:
        file.write(b"1")
    session.close()
    with session.open(f"{repository}:tag/a") as file:
        assert file.read() == b"1"
    session.close()


def test_one_read_of_a_large_file_moves_a_part_of_it(
    repository: str, access: regfs.Access, foreign: Foreign, proxy: Counting
) -> None:
    content = content_of(9 << 20)
    foreign.artifact(repository, "tag", {"large": content})
    with regfs.open(f"{proxy.url}/{repository}:tag/large", access=access) as file:
        file.seek(1000)
        assert file.read(10) == content[1000:1010]
    assert proxy.moved < len(content) / 2


def test_what_is_wrong_is_said(registry: Registry, repository: str, access: regfs.Access) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        regfs.open(f"{registry.host}/{repository}:none/a", access=access)
    assert caught.value.filename == f"{registry.host}/{repository}:none/a"
    with pytest.raises(IsADirectoryError):
        regfs.open(registry.host, access=access)
    with pytest.raises(ValueError, match="mode"):
        regfs.open(f"{registry.host}/{repository}:tag/a", "q", access=access)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="host"):
        regfs.Session("not a host", access).registry.check()


def test_a_location_has_a_registry_and_a_path() -> None:
    assert split_location("regfs://localhost:5000/a/b:tag//c/") == ("localhost:5000", ("a", "b:tag", "c"))
    assert split_location("https://[::1]:5000/a@sha256:0/c") == ("https://[::1]:5000", ("a@sha256:0", "c"))
