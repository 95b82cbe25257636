"""What users do with a registry, at each family of registries.

Each step begins with the same content, and has what the steps before it would have given it. What a registry cannot do
is part of its story: it is said in one line, and nothing is lost.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.contents import MIB, content_of
from tests.registries import PASSWORD, USER, Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.zoo.backends import Real
from tests.zoo.client import Home
from tests.zoo.profiles import PROFILES
from tests.zoo.registry import Zoo
from tests.zoo.warm import Warm

LARGE = content_of(9 * MIB)  # more than is fetched whole
TAGS = [f"v{number:02}" for number in range(12)]  # more than two pages of any registry that has pages


class Story:
    """A registry of one family with its content, a user who has logged in, and their mount."""

    def __init__(self, name: str, registry: Registry, lab: Lab, warm: Warm, directory: Path) -> None:
        self.profile = PROFILES[name]
        self.public, self.private = f"public/{name}", f"team/{name}"
        self.backend = Foreign(registry)
        self._close = ExitStack()
        self.zoo = self._close.enter_context(Zoo(self.profile, Real(registry, name), lab.server_context()))
        self._close.enter_context(closing(self.backend))
        self._directory, self._lab, self._warm = directory, lab, warm
        self._mount: Path | AssertionError | None = None
        self.user = self.home("user")
        self.user.log_in(self.zoo.host)
        self.backend.artifact(self.public, "v1", {"a.txt": b"public"})
        self.backend.artifact(self.private, "v00", {"a.txt": b"a", "large.bin": LARGE, "b.txt": b"b"})
        for tag in TAGS[1:]:
            self.backend.artifact(self.private, tag, {"a.txt": tag.encode()})

    def close(self) -> None:
        """Unmount, and stop the registry."""
        self._close.close()

    def home(self, name: str) -> Home:
        """A user's home."""
        return Home(self._directory / name, self._warm, REGFS_CA_FILE=self._lab.ca, REGFS_PASSWORD="")

    def reference(self, repository: str, tag: str = "") -> str:
        """What regfs is told."""
        return f"{self.zoo.host}/{repository}{':' if tag else ''}{tag}"

    @property
    def mount(self) -> Path:
        """Where the private repository is mounted."""
        if self._mount is None:
            mount = self.user.mount_by_program("--ttl", "0", self.reference(self.private))
            try:
                self._mount = self._close.enter_context(mount)
            except AssertionError as error:
                self._mount = error
        if isinstance(self._mount, AssertionError):
            raise self._mount
        return self._mount


@pytest.fixture(scope="module", params=PROFILES)
def story(
    request: pytest.FixtureRequest, registry: Registry, lab: Lab, warm: Warm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """The story of a family."""
    name = str(request.param)
    with closing(Story(name, registry, lab, warm, tmp_path_factory.mktemp(name))) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """The registry's connections last as long as the mount, for all steps."""


def test_public_artifacts_are_got_without_a_login(story: Story) -> None:
    anybody = story.home("anybody")
    done = anybody.run("get", story.reference(story.public, "v1"), "a.txt", "-o", "-")
    if story.profile.access.public:
        assert (done.status, done.output) == (0, "public"), done
    else:
        assert done.status == 1
        assert "log in" in done.error, done


def test_a_login_is_kept(story: Story) -> None:
    somebody = story.home("somebody")
    somebody.environment["REGFS_PASSWORD"] = PASSWORD
    somebody("login", "--username", USER, story.zoo.host)
    auths = json.loads((somebody.directory / ".docker/config.json").read_text())["auths"]
    assert list(auths) == [story.zoo.host]


def test_ls_lists_every_tag_once(story: Story) -> None:
    if not story.profile.listing.tags:
        assert story.user("ls", story.reference(story.private, "v01")) == "a.txt\n"
        return
    listed = story.user("ls", story.reference(story.private)).split()
    assert [tag for tag in listed if tag in TAGS] == TAGS
    assert not [tag for tag in listed if ":" in tag]


def test_a_repository_is_mounted(story: Story) -> None:
    assert (story.mount / "v01/a.txt").read_text() == "v01"
    if story.profile.listing.tags:
        assert set(TAGS) <= set(os.listdir(story.mount))


def test_a_range_of_a_large_file_is_read(story: Story) -> None:
    with open(story.mount / "v00/large.bin", "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 100, 5 * MIB) == LARGE[5 * MIB : 5 * MIB + 100]


def test_a_file_is_copied_in(story: Story) -> None:
    (story.mount / "v02/new.txt").write_bytes(b"new")
    assert story.backend.files(story.private, "v02") == {"a.txt": b"v02", "new.txt": b"new"}


def test_files_are_put(story: Story) -> None:
    story.user.write("put.txt", b"put")
    story.user("put", story.reference(story.private, "put"), "put.txt")
    assert story.backend.files(story.private, "put") == {"put.txt": b"put"}


def test_a_tag_is_given_another_name(story: Story) -> None:
    story.user("tag", story.reference(story.private, "v03"), "named")
    assert story.backend.digest(story.private, "named") == story.backend.digest(story.private, "v03")


def test_a_file_is_removed(story: Story) -> None:
    story.backend.artifact(story.private, "less", {"gone.txt": b"gone", "kept.txt": b"kept"})
    story.user("rm", story.reference(story.private, "less"), "gone.txt")
    assert story.backend.files(story.private, "less") == {"kept.txt": b"kept"}


def test_a_tag_is_removed_or_keeps_its_files(story: Story) -> None:
    files = {"a.txt": b"of two tags"}
    for tag in ("gone", "twin"):
        story.backend.artifact(story.private, tag, files)
    done = story.user.run("rm", "-y", story.reference(story.private, "gone"))
    end = time.monotonic() + 3
    while done.status == 0 and time.monotonic() < end and "gone" in story.backend.aliases(story.private):
        time.sleep(0.1)
    left = story.backend.aliases(story.private)
    if story.profile.deletes.works:
        assert (done.status, "gone" in left) == (0, False), done
    else:
        assert (done.status, len(done.error.splitlines())) == (1, 1), done
        assert story.backend.files(story.private, "gone") == files
    assert story.backend.files(story.private, "twin") == files


def test_a_mount_outlives_its_tokens(story: Story) -> None:
    with open(story.mount / "v00/large.bin", "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 10, 0) == LARGE[:10]
        story.zoo.expire()
        assert os.pread(file.fileno(), 10, 8 * MIB) == LARGE[8 * MIB : 8 * MIB + 10]
    story.zoo.expire()
    (story.mount / "v05/late.txt").write_bytes(b"late")
    assert story.backend.files(story.private, "v05") == {"a.txt": b"v05", "late.txt": b"late"}
