"""Blobs: pushed, pulled, mounted, measured, deleted; and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from regfs import DXF, hash_bytes, hash_file
from regfs.exceptions import DXFDigestMismatchError, DXFMountFailed
from tests.registries import PASSWORD, USER, Registry
from tests.servers import Answer, Request, Server

NewServer = Callable[..., Server]
Write = Callable[[bytes], str]
CONTENT = bytes(range(256)) * 100
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
EMPTY = hash_bytes(b"")


def pulled(client: DXF, digest: str) -> bytes:
    chunks = client.pull_blob(digest)
    assert not isinstance(chunks, tuple)
    return b"".join(chunks)


def chunks_of(content: bytes, size: int = 1000) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


# Hashing


def test_bytes_hash_to_a_sha256_digest() -> None:
    assert hash_bytes(CONTENT) == DIGEST


@pytest.mark.parametrize("content", [b"", CONTENT, b"x" * (1 << 20) + b"y"])
def test_a_file_hashes_as_its_bytes_do(blob: Write, content: bytes) -> None:
    assert hash_file(blob(content)) == hash_bytes(content)


# Pushing a file


def test_a_pushed_file_is_in_the_registry(client: DXF, registry: Registry, blob: Write) -> None:
    assert client.push_blob(blob(CONTENT)) == DIGEST
    assert registry.blob_path(DIGEST).read_bytes() == CONTENT


@pytest.mark.parametrize("reported", [False, True])
def test_an_empty_file_is_a_blob(client: DXF, blob: Write, reported: bool) -> None:
    client.push_blob(blob(b""), (lambda *call: None) if reported else None)
    assert client.blob_size(EMPTY) == 0
    assert pulled(client, EMPTY) == b""


def test_the_progress_of_a_file_is_told_with_digest_bytes_and_total(client: DXF, blob: Write) -> None:
    calls: list[tuple[str, bytes, int]] = []
    client.push_blob(blob(CONTENT), lambda digest, chunk, total: calls.append((digest, chunk, total)))
    assert {(digest, total) for digest, _, total in calls} == {(DIGEST, len(CONTENT))}
    assert b"".join(chunk for _, chunk, _ in calls) == CONTENT


def test_the_progress_of_a_file_begins_with_nothing_read(client: DXF, blob: Write) -> None:
    calls: list[bytes] = []
    client.push_blob(blob(CONTENT), lambda digest, chunk, total: calls.append(chunk))
    assert calls[0] == b""
    assert all(calls[1:])


@pytest.mark.parametrize("reported", [False, True])
def test_a_file_is_sent_again_after_a_refusal(htpasswd: Registry, repository: str, blob: Write, reported: bool) -> None:
    class Forgetful(DXF):
        """Has no credentials when the upload itself begins."""

        def _base_request(self, method: str, *arguments: object, **kwargs: object) -> requests.Response:
            if method == "put":
                self._headers = {}
            return super()._base_request(method, *arguments, **kwargs)  # type: ignore[arg-type]

    client = Forgetful(repo=repository, **htpasswd.client_arguments)
    progress = (lambda digest, chunk, total: None) if reported else None
    assert client.push_blob(blob(CONTENT), progress) == DIGEST
    assert pulled(client, DIGEST) == CONTENT


def test_a_file_that_is_missing_is_an_os_error(proxy: Server, repository: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DXF(proxy.host, repository, insecure=True).push_blob(str(tmp_path / "missing"))
    assert proxy.requests == []


# Pushing chunks


def test_pushed_chunks_are_in_the_registry(client: DXF, registry: Registry) -> None:
    assert client.push_blob(data=chunks_of(CONTENT), digest=DIGEST) == DIGEST
    assert registry.blob_path(DIGEST).read_bytes() == CONTENT


@pytest.mark.parametrize("reported", [False, True])
@pytest.mark.parametrize("make", [list, tuple, iter, b"".join], ids=["list", "tuple", "iterator", "bytes"])
def test_chunks_come_in_any_iterable(plain_client: DXF, make: Callable[[object], object], reported: bool) -> None:
    data = make(chunks_of(CONTENT))
    plain_client.push_blob(data=data, digest=DIGEST, progress=(lambda *call: None) if reported else None)  # type: ignore[arg-type]
    assert pulled(plain_client, DIGEST) == CONTENT


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b"ab", b"", b"c"]])
def test_empty_chunks_do_not_end_the_upload(plain_client: DXF, chunks: list[bytes]) -> None:
    digest = hash_bytes(b"".join(chunks))
    plain_client.push_blob(data=iter(chunks), digest=digest)
    assert pulled(plain_client, digest) == b"".join(chunks)


def test_the_progress_of_chunks_is_told_with_digest_and_chunk(client: DXF) -> None:
    calls: list[tuple[object, ...]] = []
    chunks = [b"ab", b"", b"c"]
    client.push_blob(progress=lambda *call: calls.append(call), data=iter(chunks), digest=hash_bytes(b"abc"))
    assert calls == [(hash_bytes(b"abc"), b"ab"), (hash_bytes(b"abc"), b"c")]


def test_chunks_of_a_list_are_sent_again_after_a_refusal(lab_refusing_once: Server) -> None:
    def login(client: object, response: requests.Response) -> None:
        client.token = "t"  # type: ignore[attr-defined]

    client = DXF(lab_refusing_once.host, "a/b", login, insecure=True)
    client.push_blob(data=[b"ab", b"c"], digest=hash_bytes(b"abc"), progress=lambda *call: None, check_exists=False)
    assert [r.body for r in lab_refusing_once.requests if r.method == "PUT"] == [b"abc", b"abc"]


@pytest.fixture
def lab_refusing_once(serve: NewServer) -> Server:
    """A registry that starts any upload, and wants a token for its content."""

    def respond(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(202, (("Location", "/v2/a/b/blobs/uploads/1?_state=x"),))
        return Answer(201 if request.headers.get("authorization") else 401)

    return serve(respond)


def test_chunks_need_a_digest(proxy: Server, repository: str) -> None:
    with pytest.raises(TypeError):
        DXF(proxy.host, repository, insecure=True).push_blob(data=iter([b"ab"]))
    assert proxy.requests == []


def test_nothing_to_push_is_a_type_error(plain_client: DXF) -> None:
    with pytest.raises(TypeError):
        plain_client.push_blob()


def test_chunks_that_are_not_of_the_digest_are_refused(client: DXF) -> None:
    with pytest.raises(requests.HTTPError) as caught:
        client.push_blob(data=iter([b"ab"]), digest=DIGEST)
    assert caught.value.response.status_code == 400


# Pushing what is there


def test_a_blob_that_exists_is_not_uploaded(proxy: Server, repository: str, blob: Write) -> None:
    client = DXF(proxy.host, repository, insecure=True)
    client.push_blob(blob(CONTENT))
    proxy.exchanges.clear()
    assert client.push_blob(blob(CONTENT)) == DIGEST
    assert [request.method for request in proxy.requests] == ["HEAD"]


def test_a_blob_that_exists_is_uploaded_when_nobody_is_to_look(proxy: Server, repository: str, blob: Write) -> None:
    client = DXF(proxy.host, repository, insecure=True)
    client.push_blob(blob(CONTENT))
    proxy.exchanges.clear()
    assert client.push_blob(blob(CONTENT), check_exists=False) == DIGEST
    assert [request.method for request in proxy.requests] == ["POST", "PUT"]


def test_the_chunks_of_a_blob_that_exists_are_not_read(plain_client: DXF, blob: Write) -> None:
    plain_client.push_blob(blob(CONTENT))
    chunks = iter([CONTENT])
    plain_client.push_blob(data=chunks, digest=DIGEST)
    assert list(chunks) == [CONTENT]


def test_a_look_that_fails_is_no_missing_blob(serve: NewServer, blob: Write) -> None:
    server = serve(lambda request: Answer(500))
    with pytest.raises(requests.HTTPError):
        DXF(server.host, "a/b", insecure=True).push_blob(blob(CONTENT))
    assert [request.method for request in server.requests] == ["HEAD"]


def test_the_state_of_an_upload_is_sent_back_exactly(serve: NewServer, blob: Write) -> None:
    state = "a%2Bb%2F%3D=&empty=&x=1&x=2"

    def respond(request: Request) -> Answer:
        if request.method == "HEAD":
            return Answer(404)
        return Answer(202, (("Location", f"/v2/a/b/blobs/uploads/1?_state={state}"),))

    server = serve(respond)
    DXF(server.host, "a/b", insecure=True).push_blob(blob(CONTENT))
    expected = f"/v2/a/b/blobs/uploads/1?_state=a%2Bb%2F%3D%3D&empty=&x=1&x=2&digest={DIGEST.replace(':', '%3A')}"
    assert server.requests[-1].path == expected


# Pulling


def test_a_pulled_blob_is_what_was_pushed(client: DXF, blob: Write) -> None:
    client.push_blob(blob(CONTENT))
    assert pulled(client, DIGEST) == CONTENT


def test_a_blob_is_pulled_with_its_size(client: DXF, blob: Write) -> None:
    client.push_blob(blob(CONTENT))
    found = client.pull_blob(DIGEST, size=True)
    assert isinstance(found, tuple)
    assert (b"".join(found[0]), found[1]) == (CONTENT, len(CONTENT))


@pytest.mark.parametrize(("asked", "length"), [(None, 8192), (1000, 1000), (1 << 20, len(CONTENT))])
def test_a_blob_is_pulled_in_chunks(plain_client: DXF, blob: Write, asked: int | None, length: int) -> None:
    plain_client.push_blob(blob(CONTENT))
    chunks = [len(chunk) for chunk in plain_client.pull_blob(DIGEST, chunk_size=asked)]  # type: ignore[arg-type]
    assert set(chunks[:-1]) <= {length}
    assert max(chunks) == length


def test_a_blob_is_pulled_outside_of_a_context(registry: Registry, repository: str, blob: Write) -> None:
    client = DXF(repo=repository, **registry.client_arguments)
    client.push_blob(blob(CONTENT))
    assert pulled(client, DIGEST) == CONTENT


def test_a_blob_that_changed_in_the_registry_is_a_mismatch(
    client: DXF, registry: Registry, blob: Write, repository: str
) -> None:
    content = f"will be changed, {repository}, {registry.kind}".encode()
    digest = client.push_blob(blob(content))
    changed = content[:-1] + bytes([content[-1] ^ 1])
    registry.blob_path(digest).write_bytes(changed)
    with pytest.raises(DXFDigestMismatchError) as caught:
        pulled(client, digest)
    assert (caught.value.got, caught.value.expected) == (hash_bytes(changed), digest)


def test_a_blob_that_changed_is_handed_out_before_the_mismatch(plain_client: DXF, plain: Registry, blob: Write) -> None:
    digest = plain_client.push_blob(blob(b"will be changed too"))
    plain.blob_path(digest).write_bytes(b"will be changed t00")
    chunks = iter(plain_client.pull_blob(digest, chunk_size=100))
    assert next(chunks) == b"will be changed t00"
    with pytest.raises(DXFDigestMismatchError):
        next(chunks)


@pytest.mark.parametrize("pull", [DXF.pull_blob, DXF.blob_size, DXF.del_blob])
def test_a_blob_that_is_not_there_is_an_http_error(client: DXF, pull: Callable[[DXF, str], object]) -> None:
    with pytest.raises(requests.HTTPError) as caught:
        pull(client, hash_bytes(b"never pushed"))
    assert caught.value.response.status_code == 404


def test_a_transfer_that_is_cut_is_an_error(serve: NewServer) -> None:
    server = serve(lambda request: Answer(200, (("Content-Length", "10"), ("Connection", "close")), b"abc"))
    chunks = DXF(server.host, "a/b", insecure=True).pull_blob(DIGEST)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        list(chunks)


# Size, mount, delete


def test_the_size_of_a_blob_is_in_bytes(client: DXF, blob: Write) -> None:
    assert client.blob_size(client.push_blob(blob(CONTENT))) == len(CONTENT)


def test_a_blob_is_mounted_from_another_repository(
    client: DXF, registry: Registry, repository: str, blob: Write
) -> None:
    client.push_blob(blob(CONTENT))
    other = DXF(repo=f"{repository}-2", **registry.client_arguments)
    assert other.mount_blob(repository, DIGEST) == DIGEST
    assert other.blob_size(DIGEST) == len(CONTENT)


def test_a_blob_is_mounted_with_one_request(proxy: Server, plain_client: DXF, repository: str, blob: Write) -> None:
    plain_client.push_blob(blob(CONTENT))
    DXF(proxy.host, f"{repository}-2", insecure=True).mount_blob(repository, DIGEST)
    assert [request.method for request in proxy.requests] == ["POST"]


def test_a_mount_that_starts_an_upload_has_failed(client: DXF, repository: str) -> None:
    with pytest.raises(DXFMountFailed):
        client.mount_blob(f"{repository}-2", hash_bytes(b"never pushed"))


def test_a_deleted_blob_is_gone(client: DXF, blob: Write) -> None:
    digest = client.push_blob(blob(CONTENT))
    assert client.del_blob(digest) is None  # type: ignore[func-returns-value]
    with pytest.raises(requests.HTTPError):
        client.blob_size(digest)


def test_a_registry_that_deletes_nothing_is_an_http_error(undeleting: DXF, blob: Write) -> None:
    with pytest.raises(requests.HTTPError) as caught:
        undeleting.del_blob(undeleting.push_blob(blob(CONTENT)))
    assert caught.value.response.status_code == 405


@pytest.fixture(scope="module")
def undeleting_registry(request: pytest.FixtureRequest) -> Registry:
    """A registry with deletes off."""
    started: Registry = request.getfixturevalue("lab").start("htpasswd", deletes=False)
    return started


@pytest.fixture
def undeleting(undeleting_registry: Registry, repository: str) -> DXF:
    """A client of a registry with deletes off."""
    client = DXF(undeleting_registry.host, repository, tlsverify=undeleting_registry.lab.ca)
    client.authenticate(USER, PASSWORD)
    return client
