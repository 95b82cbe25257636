"""The kernel's page cache holds what was read, and lets go of it when the bytes have changed."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest

from tests.contents import MIB, content_of, flip
from tests.counting import Counting
from tests.logs import OTHER_BYTES
from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.making import Mount
from tests.scenarios.reading.conftest import counter, process_of, read, warnings
from tests.scenarios.views import eventually, refused

pytestmark = pytest.mark.both_adapters

CONTENT = content_of(24 * MIB)


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Nobody answers; after ten seconds somebody does, so that a failure does not hang."""
    again = threading.Timer(10, os.kill, (process, signal.SIGCONT))
    again.start()
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        again.cancel()
        os.kill(process, signal.SIGCONT)


@contextmanager
def held_in_memory(file: BinaryIO, size: int) -> Iterator[None]:
    """The kernel does not reclaim the pages of a file meanwhile, as far as the user may lock memory (mlock(2)).

    Some machines reclaim clean pages that nobody reads for a few seconds, also when memory is not short (DAMON with the
    action ``pageout``). The kernel asks for a reclaimed page once more, here from a mount that is stopped.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size))
    try:
        yield
    finally:
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


def test_what_was_read_is_read_again_while_the_daemon_is_stopped(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": CONTENT})
    view = mount(f"{proxy.url}/{repository}")
    with open(view.path("v1/a"), "rb", buffering=0) as file, held_in_memory(file, len(CONTENT)):
        assert b"".join(os.pread(file.fileno(), MIB, offset * MIB) for offset in range(24)) == CONTENT
        began = time.monotonic()
        with stopped(process_of(view)):
            again = [os.pread(file.fileno(), MIB, offset * MIB) for offset in range(24)]
        assert time.monotonic() - began < 9
        assert b"".join(again) == CONTENT


def test_a_second_open_reads_from_the_page_cache(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": CONTENT})
    view = mount(f"{proxy.url}/{repository}")
    assert read(view, "v1/a") == CONTENT
    process = process_of(view)
    time.sleep(1.1)  # the attributes that the kernel keeps are asked for again
    answered = counter(process, "wchar")
    assert read(view, "v1/a") == CONTENT
    assert counter(process, "wchar") - answered < MIB


def test_a_changed_alias_is_seen_at_the_next_open_after_its_time(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": CONTENT})
    view = mount(f"{proxy.url}/{repository}", ttl=1)
    assert read(view, "v1/a") == CONTENT
    changed = content_of(len(CONTENT), seed=1)
    foreign.artifact(repository, "v1", {"a": changed})
    with open(view.path("v1/a"), "rb", buffering=0) as old:
        found = read(view, "v1/a")
        assert found in (CONTENT, changed)
        eventually(lambda: read(view, "v1/a") == changed)
        assert os.pread(old.fileno(), 10, 0) in (CONTENT[:10], changed[:10])


def test_who_reads_beside_a_writer_that_bypasses_the_pages_bypasses_them_too(
    proxy: Counting, foreign: Foreign, mount: Mount, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": CONTENT})
    view = mount(f"{proxy.url}/{repository}")
    with open(view.path("v1/a"), "rb", buffering=0) as old:
        assert os.pread(old.fileno(), 10, 0) == CONTENT[:10]
        writer = os.open(view.path("v1/a"), os.O_WRONLY | os.O_TRUNC)  # on other bytes than those in the pages
    os.pwrite(writer, CONTENT[:MIB], 0)
    with open(view.path("v1/a"), "rb", buffering=0) as reader:
        assert os.pread(reader.fileno(), MIB, 0) == CONTENT[:MIB]
        answered = counter(process_of(view), "wchar")
        assert os.pread(reader.fileno(), MIB, 0) == CONTENT[:MIB]
        assert counter(process_of(view), "wchar") - answered >= MIB
    os.close(writer)


@pytest.mark.parametrize("size", [MIB, 20 * MIB])
@pytest.mark.logs(OTHER_BYTES)
def test_bytes_that_are_not_the_blob_s_are_an_error_and_right_once_the_registry_is_repaired(
    own_registry: Registry, own_foreign: Foreign, mount: Mount, size: int
) -> None:
    content = content_of(size)
    own_foreign.artifact("some/repository", "v1", {"a": content})
    digest = own_foreign.document("some/repository", "v1")["layers"][0]["digest"]
    flip(own_registry.blob_path(digest), 1000)
    view = mount(f"{own_registry.url}/some/repository")
    with refused(5):
        read(view, "v1/a")
    eventually(lambda: view.cached(digest), [])
    assert [line for line in warnings(view) if digest in line and line.count("sha256:") >= 2]
    flip(own_registry.blob_path(digest), 1000)
    assert read(view, "v1/a") == content
    assert read(view, "v1/a", 10, 995) == content[995:1005]


@pytest.mark.logs(OTHER_BYTES)
def test_bytes_read_before_the_end_was_known_to_be_bad_do_not_stay(
    own_registry: Registry, own_foreign: Foreign, mount: Mount
) -> None:
    own_foreign.artifact("some/repository", "v1", {"a": CONTENT})
    digest = own_foreign.document("some/repository", "v1")["layers"][0]["digest"]
    flip(own_registry.blob_path(digest), 10)
    view = mount(f"{own_registry.url}/some/repository")
    assert read(view, "v1/a", 20) != CONTENT[:20]  # nobody can know yet
    with refused(5):
        read(view, "v1/a")
    flip(own_registry.blob_path(digest), 10)
    assert read(view, "v1/a", 20) == CONTENT[:20]


@pytest.mark.logs(OTHER_BYTES)
def test_with_strict_verification_no_byte_of_it_is_served(
    own_registry: Registry, own_foreign: Foreign, mount: Mount
) -> None:
    own_foreign.artifact("some/repository", "v1", {"a": CONTENT})
    digest = own_foreign.document("some/repository", "v1")["layers"][0]["digest"]
    flip(own_registry.blob_path(digest), len(CONTENT) - 1)
    view = mount(f"{own_registry.url}/some/repository", verify="strict")
    with refused(5):
        os.open(view.path("v1/a"), os.O_RDONLY)
    flip(own_registry.blob_path(digest), len(CONTENT) - 1)
    assert read(view, "v1/a") == CONTENT
