"""``regfs cache``: what it says, what it does, and its status."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from regfs.cache.store import BlobStore
from tests.cache.conftest import digests, keep, put_chunk
from tests.cache.test_blobs import content
from tests.contents import MIB, flip
from tests.scenarios.views import environment, run

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(tmp_path: Path, directory: Path) -> Command:
    """Runs ``regfs cache`` on the cache."""

    def run_it(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run("cache", *arguments, "--cache-dir", str(directory), environment=environment(tmp_path))

    return run_it


def test_info_says_what_there_is(cache: BlobStore, command: Command) -> None:
    keep(cache, content(1))
    keep(cache, content(2))
    sparse = cache.sparse("sha256:" + "1" * 64, 100 * MIB)
    put_chunk(sparse, content(3), 0)
    sparse.close()
    done = command("info")
    assert done.returncode == 0
    assert f"directory  {cache.directory}" in done.stdout
    assert "blobs      2 complete, 1 partial" in done.stdout
    assert f"size       {cache.usage().size} bytes of at most " in done.stdout


def test_info_of_an_empty_cache_is_no_error(command: Command) -> None:
    done = command("info")
    assert (done.returncode, done.stderr) == (0, "")
    assert "blobs      0 complete, 0 partial" in done.stdout


def test_check_of_a_sound_cache_is_quiet(cache: BlobStore, command: Command) -> None:
    keep(cache, content(1))
    done = command("check")
    assert (done.returncode, done.stdout) == (0, "1 blobs match their digests\n")


def test_check_finds_and_removes_a_bit_flipped_on_disk(cache: BlobStore, command: Command) -> None:
    good, bad = keep(cache, content(1)), keep(cache, content(2))
    flip(cache.path(bad), MIB - 1)
    done = command("check")
    assert done.returncode == 1
    assert done.stdout == f"removed {bad}\n1 blobs match their digests\n"
    assert digests(cache) == {good}
    assert command("check").returncode == 0


def test_check_finds_a_blob_cut_short(cache: BlobStore, command: Command) -> None:
    bad = keep(cache, content(1))
    os.truncate(cache.path(bad), 1000)
    assert command("check").stdout.startswith(f"removed {bad}\n")


def test_prune_leaves_what_was_used_last(cache: BlobStore, command: Command) -> None:
    kept = [keep(cache, content(number), used_at=1000 + number) for number in range(5)]
    done = command("prune", "2M")
    assert (done.returncode, done.stdout) == (0, f"{2 * MIB} bytes are left\n")
    assert digests(cache) == set(kept[3:])


def test_clear_leaves_what_is_being_read(cache: BlobStore, command: Command) -> None:
    read, _ = keep(cache, content(1)), keep(cache, content(2))
    fd = cache.open(read)
    assert fd is not None
    done = command("clear")
    assert (done.returncode, done.stdout) == (0, f"{MIB} bytes are left\n")
    assert digests(cache) == {read}
    os.close(fd)
    assert command("clear").stdout == "0 bytes are left\n"


@pytest.mark.parametrize("verb", ["info", "check", "clear"])
def test_a_directory_open_to_others_is_one_line_and_status_1(directory: Path, command: Command, verb: str) -> None:
    directory.mkdir()
    directory.chmod(0o755)
    done = command(verb)
    assert done.returncode == 1
    assert done.stderr == f"regfs: {directory} is open to other users; run: chmod 700 {directory}\n"


def test_prune_without_a_size_is_bad_usage(command: Command) -> None:
    done = command("prune")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
