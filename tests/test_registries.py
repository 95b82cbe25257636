"""The registries of the tests do what tests of other things rely on."""

from __future__ import annotations

import logging

import pytest
import requests

from regfs import DXF, hash_bytes
from tests.registries import Lab, Registry

BLOB = hash_bytes(b"blob")


def push(registry: Registry, repository: str) -> DXF:
    client = DXF(repo=repository, **registry.client_arguments)
    client.push_blob(data=[b"blob"], digest=BLOB)
    return client


def status_of_a_failure(error: pytest.ExceptionInfo[requests.HTTPError]) -> int:
    status: int = error.value.response.status_code
    return status


def test_a_restarted_registry_has_its_port_and_its_content(lab: Lab, repository: str) -> None:
    registry = lab.start("plain")
    client = push(registry, repository)
    host = registry.host
    registry.restart()
    assert registry.host == host
    assert client.blob_size(BLOB) == 4


def test_a_stopped_registry_does_not_answer(lab: Lab, repository: str) -> None:
    registry = lab.start("plain")
    registry.stop()
    with pytest.raises(requests.ConnectionError):
        DXF(repo=repository, **registry.client_arguments).api_version_check()


def test_a_read_only_registry_takes_nothing(lab: Lab, repository: str) -> None:
    with pytest.raises(requests.HTTPError) as caught:
        push(lab.start("plain", read_only=True), repository)
    assert status_of_a_failure(caught) == 405


def test_a_pull_through_registry_has_what_its_source_has(lab: Lab, plain: Registry, repository: str) -> None:
    push(plain, repository)
    mirror = lab.start("plain", proxy=plain.url)
    assert list(DXF(repo=repository, **mirror.client_arguments).pull_blob(BLOB)) == [b"blob"]


def test_two_registries_can_have_one_storage(lab: Lab, plain: Registry, repository: str) -> None:
    push(plain, repository)
    other = lab.start("plain", root=plain.root)
    assert DXF(repo=repository, **other.client_arguments).blob_size(BLOB) == 4


def test_garbage_collection_deletes_what_no_alias_names(lab: Lab, repository: str) -> None:
    registry = lab.start("plain")
    push(registry, repository)
    assert registry.blob_path(BLOB).exists()
    registry.gc()
    assert not registry.blob_path(BLOB).exists()


def test_a_registry_that_cannot_start_says_why(lab: Lab, plain: Registry) -> None:
    with pytest.raises(RuntimeError, match="address already in use"):
        lab.start("plain", port=int(plain.host.partition(":")[2]))


def test_an_unknown_kind_of_registry_is_refused(lab: Lab) -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        lab.start("other")


@pytest.mark.logs("^expected$")
def test_a_test_that_expects_a_warning_may_have_one() -> None:
    logging.getLogger("regfs.tests").warning("expected")
