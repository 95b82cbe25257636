"""Uploads: what a Range means, redirects, limits of either kind, and a Location that goes back as it came."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contents import MIB, content_of
from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.calls import Call, error
from tests.zoo.client import Home
from tests.zoo.conftest import NewZoo
from tests.zoo.listener import CUT
from tests.zoo.profile import Uploads, inclusive
from tests.zoo.registry import Zoo
from tests.zoo.shapes import only

CONTENT = content_of(40 * MIB)  # a mount sends it in pieces while it is written


def copy(home: Home, registry: Zoo, memory: Memory) -> None:
    """Write it into a mount; it has to arrive."""
    memory.artifact("a/b", "v1", {"small": b"small"})
    with home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
        (where / "v1/large").write_bytes(CONTENT)
    assert memory.files("a/b", "v1")["large"] == CONTENT


def put(home: Home, registry: Zoo, memory: Memory) -> None:
    """Put it; it has to arrive."""
    home.write("large", CONTENT)
    home("put", f"{registry.host}/a/b:v1", "large")
    assert memory.files("a/b", "v1") == {"large": CONTENT}


Send = Callable[[Home, Zoo, Memory], None]
either = pytest.mark.parametrize("send", [copy, put])


def sent(registry: Zoo, method: str) -> list[int]:
    """The bytes of each request of a method that was taken."""
    return [
        len(request.body) for request, answer in registry.listener.exchanges
        if request.method == method and "/uploads/" in request.path and answer.status < 300
    ]  # fmt: skip


@pytest.mark.parametrize("kept", [0, 1])
def test_a_range_of_0_0_may_be_nothing_or_one_byte(home: Home, memory: Memory, zoo: NewZoo, kept: int) -> None:
    """opencontainers/distribution-spec#577, #578, distribution/distribution#2363: the first piece is cut off."""
    cuts = ["PATCH"]

    def script(call: Call) -> Answer | None:
        if call.kind != "upload" or call.method not in cuts:
            return None
        cuts.remove(call.method)
        number = next(iter(memory.uploads))
        memory.uploads[number] += call.request.body[:kept]
        return CUT

    with zoo(script=script) as registry:
        copy(home, registry, memory)
        assert cuts == []


@pytest.mark.parametrize("kept", [0, 1])
def test_no_byte_of_a_cut_upload_is_lost_or_doubled(home: Home, memory: Memory, zoo: NewZoo, kept: int) -> None:
    """The same reports: the whole is cut off, then the first piece of it, of which the registry may have a byte."""
    cuts = ["PUT", "PATCH"]
    content = content_of(MIB) * 65  # more than one piece

    def script(call: Call) -> Answer | None:
        if call.kind != "upload" or call.method not in cuts:
            return None
        cuts.remove(call.method)
        if call.method == "PATCH":
            memory.uploads[list(memory.uploads)[-1]] += call.request.body[:kept]
        return CUT

    with zoo(script=script) as registry:
        home.write("large", content)
        home("put", f"{registry.host}/a/b:v1", "large")
        assert cuts == []
        assert memory.files("a/b", "v1") == {"large": content}


RANGES: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    # quay/quay, endpoints/v2/blob.py: one more than there are, with "bytes="
    "quay": (inclusive, lambda size: f"bytes=0-{size}"),
    # zuul-registry, upload_chunk: the length where the last offset belongs
    "zuul": (lambda size: f"0-{size}", lambda size: f"0-{size}"),
    # aws/containers-roadmap#2831: the first piece's, for ever
    "ecr": (lambda size: inclusive(min(size, 16 * MIB)), lambda size: inclusive(min(size, 16 * MIB))),
    "none": (lambda size: "", lambda size: ""),
}


@pytest.mark.parametrize("name", RANGES)
def test_what_was_taken_is_not_doubted_for_its_range(home: Home, memory: Memory, zoo: NewZoo, name: str) -> None:
    patched, status = RANGES[name]
    with zoo(only(uploads=Uploads(sent_range=patched, status_range=status))) as registry:
        copy(home, registry, memory)
        assert sum(sent(registry, "PATCH")) <= len(CONTENT)


@pytest.mark.parametrize("name", RANGES)
def test_a_cut_piece_is_sent_again_whatever_the_range_says(home: Home, memory: Memory, zoo: NewZoo, name: str) -> None:
    patched, status = RANGES[name]
    pieces: list[str] = []

    def script(call: Call) -> Answer | None:
        if call.kind == "upload" and call.method == "PATCH":
            pieces.append(call.path)
        return CUT if call.method == "PATCH" and len(pieces) == 2 else None

    with zoo(only(uploads=Uploads(sent_range=patched, status_range=status)), script=script) as registry:
        copy(home, registry, memory)


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirected_put_is_sent_again_with_its_bytes(home: Home, memory: Memory, zoo: NewZoo, status: int) -> None:
    def script(call: Call) -> Answer | None:
        there = f"{call.path}?{call.raw_query}&moved=yes"
        moves = call.method == "PUT" and "moved" not in call.query and call.kind in ("upload", "manifest")
        return Answer(status, (("Location", there),)) if moves else None

    with zoo(script=script) as registry:
        home.write("f", b"content")
        home("put", f"{registry.host}/a/b:v1", "f")
        assert memory.files("a/b", "v1") == {"f": b"content"}


@either
def test_what_a_proxy_does_not_let_through_whole_goes_in_pieces(
    home: Home, memory: Memory, zoo: NewZoo, send: Send
) -> None:
    """kitops-ml/kitops#329, opencontainers/distribution-spec#485: 413."""
    with zoo(only(uploads=Uploads(body_bytes_max=20 * MIB))) as registry:
        send(home, registry, memory)


@either
def test_what_is_not_taken_in_pieces_goes_whole(home: Home, memory: Memory, zoo: NewZoo, send: Send) -> None:
    """dotnet/sdk-container-builds#287: Google's."""
    refusal = error(400, "UNSUPPORTED", "chunked uploads are not supported")
    with zoo(only(uploads=Uploads(refuse_piece=lambda size: refusal))) as registry:
        send(home, registry, memory)


@either
@pytest.mark.parametrize("status", [413, 416])
def test_pieces_that_are_too_large_get_smaller_or_go_whole(
    home: Home, memory: Memory, zoo: NewZoo, send: Send, status: int
) -> None:
    """ocx-sh/ocx#237: GHCR's takes 4 MiB in a piece."""
    refusal = error(status, "REQUESTED_RANGE_NOT_SATISFIABLE", "the request body is too large")
    with zoo(only(uploads=Uploads(refuse_piece=lambda size: refusal if size > 4 * MIB else None))) as registry:
        send(home, registry, memory)


@either
def test_what_is_not_taken_whole_goes_in_pieces(home: Home, memory: Memory, zoo: NewZoo, send: Send) -> None:
    """containerd/containerd#3533: JFrog's needs PATCH."""
    refusal = error(400, "BLOB_UPLOAD_INVALID")
    uploads = Uploads(refuse_whole=lambda size, before: refusal if size and not before else None)
    with zoo(only(uploads=uploads)) as registry:
        send(home, registry, memory)


def test_an_end_without_bytes_that_is_refused_has_the_last_piece(home: Home, memory: Memory, zoo: NewZoo) -> None:
    """openai/tart#159: ECR's 500."""
    uploads = Uploads(refuse_whole=lambda size, before: Answer(500) if before and not size else None)
    with zoo(only(uploads=uploads)) as registry:
        copy(home, registry, memory)


QUERIES = ["_state=a%2Fb%3D%3D", "_state=a/b+c==&x", "s=%e2%82%ac&s=2&empty=", "digest-of=x%20y"]


@pytest.mark.parametrize("query", QUERIES)
def test_the_query_of_a_location_goes_back_byte_for_byte(home: Home, memory: Memory, zoo: NewZoo, query: str) -> None:
    uploads = Uploads(location=lambda zoo, repository, session: f"/v2/{repository}/blobs/uploads/{session}?{query}")
    with zoo(only(uploads=uploads)) as registry:
        home.write("f", b"content")
        home("put", f"{registry.host}/a/b:v1", "f")
        ends = [call.raw_query for call in registry.calls if call.kind == "upload" and call.method == "PUT"]
        assert ends
        assert all(end.startswith((f"{query}&digest=sha256:", f"{query}&digest=sha256%3A")) for end in ends)


@either
def test_pieces_are_as_large_as_the_registry_wants(home: Home, memory: Memory, zoo: NewZoo, send: Send) -> None:
    """Distribution specification 1.1, OCI-Chunk-Min-Length; Cloudflare's is 5 MiB."""
    least = 18 * MIB
    uploads = Uploads(headers=(("OCI-Chunk-Min-Length", str(least)),), body_bytes_max=36 * MIB)
    with zoo(only(uploads=uploads)) as registry:
        send(home, registry, memory)
        assert all(size >= least for size in sent(registry, "PATCH")[:-1])


@pytest.mark.parametrize("status", [400, 404])
def test_an_end_that_is_refused_begins_anew_once(home: Home, memory: Memory, zoo: NewZoo, status: int) -> None:
    ends: list[str] = []

    def script(call: Call) -> Answer | None:
        if call.kind != "upload" or call.method != "PUT":
            return None
        ends.append(call.path)
        return error(status, "BLOB_UPLOAD_INVALID") if len(ends) == 1 else None

    with zoo(script=script) as registry:
        home.write("f", b"content")
        home("put", f"{registry.host}/a/b:v1", "f")
        assert memory.files("a/b", "v1") == {"f": b"content"}
        assert registry.statuses("upload").count(("PUT", status)) == 1


def test_an_end_that_is_refused_for_good_is_told_once(home: Home, memory: Memory, zoo: NewZoo) -> None:
    refusal = error(400, "DIGEST_INVALID", "this registry takes sha512")
    with zoo(only(uploads=Uploads(refuse_whole=lambda size, before: refusal))) as registry:
        home.write("f", b"content")
        assert "this registry takes sha512" in home.fails("put", f"{registry.host}/a/b:v1", "f")
        assert len(registry.statuses("upload")) <= 8
