"""Exchanges that were recorded between a client and a real registry satisfy this client, one by one and no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dxf
import pytest

import regfs
from regfs.oci import manifest as manifests
from tests.servers import Answer, Request, Server

NewServer = Callable[..., Server]
Exchange = tuple[Request, Answer]
A, B = b"blob a", b"blob b" * 5000
DIGEST_A, DIGEST_B = regfs.hash_bytes(A), regfs.hash_bytes(B)


class Replay:
    """Answers what was answered, as long as it is asked what was asked, in order.

    :param exchanges: what was recorded
    :param recorded_host: whose name stands in the recorded answers
    """

    def __init__(self, exchanges: Sequence[Exchange], recorded_host: str) -> None:
        self._left = list(exchanges)
        self._recorded_host = recorded_host

    def __call__(self, request: Request) -> Answer:
        if not self._left:
            return Answer(599, body=f"nothing more was recorded: {request.method} {request.path}".encode())
        recorded, answer = self._left.pop(0)
        if (request.method, request.path, request.body) != (recorded.method, recorded.path, recorded.body):
            return Answer(599, body=f"not what was recorded: {request.method} {request.path}".encode())
        host = request.headers["host"]
        headers = tuple((name, value.replace(self._recorded_host, host)) for name, value in answer.headers)
        return Answer(answer.status, headers, answer.body)

    @property
    def is_over(self) -> bool:
        return not self._left


def push(client: Any) -> Iterator[object]:
    yield client.push_blob(data=iter([A]), digest=DIGEST_A)
    yield client.push_blob(data=iter([B[:100], B[100:]]), digest=DIGEST_B, check_exists=False)
    yield client.push_blob(data=iter([A]), digest=DIGEST_A)


def name(client: Any) -> Iterator[object]:
    yield from push(client)
    yield client.set_alias("v1", DIGEST_A, DIGEST_B)
    yield client.get_alias("v1")
    yield client.get_alias("v1", sizes=True)
    yield client.get_digest("v1")
    yield client.head_manifest_and_response("v1")[0]
    yield client.list_aliases()


def multi_platform(client: Any) -> Iterator[object]:
    yield from push(client)
    child = client.set_alias("amd64", DIGEST_A)
    platform = {"os": "linux", "architecture": "amd64"}
    content = child.encode()
    entry = {"mediaType": manifests.DOCKER_MANIFEST, "digest": regfs.hash_bytes(content), "size": len(content)}
    entries = [{**entry, "platform": platform}]
    client.set_manifest("v1", json.dumps({"schemaVersion": 2, "mediaType": manifests.OCI_INDEX, "manifests": entries}))
    yield client.get_alias("v1")
    yield client.get_manifest("v1", platform="linux/amd64")
    yield client.del_alias("v1")


def pull(client: Any) -> Iterator[object]:
    yield from push(client)
    yield b"".join(client.pull_blob(DIGEST_B))
    yield client.blob_size(DIGEST_B)
    client.del_blob(DIGEST_B)


WORK = [push, name, multi_platform, pull]


@pytest.mark.parametrize("recorder", [dxf, regfs], ids=["dxf", "regfs"])
@pytest.mark.parametrize("work", WORK)
def test_recorded_exchanges_satisfy_the_client(
    proxy: Server, serve: NewServer, repository: str, recorder: Any, work: Callable[[Any], Iterator[object]]
) -> None:
    recorded = list(work(recorder.DXF(proxy.host, repository, insecure=True)))
    replay = Replay(proxy.exchanges, proxy.host)
    server = serve(replay)
    assert list(work(regfs.DXF(server.host, repository, insecure=True))) == recorded
    assert replay.is_over
