"""The clients that are Python libraries, each run in a process of its own.

    python python_clients.py VERB ARGUMENT…

Imports, prints ``ready``, and does its work when it reads a line: an interpreter's start is nobody's performance.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def _dxf_pull(host: str, repository: str, digest: str, path: str) -> Callable[[], object]:
    from dxf import DXF

    def run() -> None:
        with DXF(host, repository, insecure=True) as client, open(path, "wb") as file:
            for chunk in client.pull_blob(digest):
                file.write(chunk)

    return run


def _dxf_push(host: str, repository: str, path: str) -> Callable[[], object]:
    from dxf import DXF

    def run() -> None:
        with DXF(host, repository, insecure=True) as client:
            client.set_alias("v1", client.push_blob(path))

    return run


def _dxf_push_directory(host: str, repository: str, directory: str) -> Callable[[], object]:
    from dxf import DXF

    def run() -> None:
        with DXF(host, repository, insecure=True) as client:
            paths = (os.path.join(directory, name) for name in sorted(os.listdir(directory)))
            client.set_alias("v1", *[client.push_blob(path) for path in paths])

    return run


def _dxf_aliases(host: str, repository: str) -> Callable[[], object]:
    from dxf import DXF

    def run() -> None:
        with DXF(host, repository, insecure=True) as client:
            client.list_aliases()

    return run


def _dxf_repositories(host: str) -> Callable[[], object]:
    from dxf import DXFBase

    def run() -> None:
        with DXFBase(host, insecure=True) as client:
            client.list_repos()

    return run


def _oras_push(host: str, repository: str, path: str) -> Callable[[], object]:
    """A file, or the files of a directory as one artifact."""
    from oras.client import OrasClient

    if os.path.isdir(path):
        os.chdir(path)
        files = sorted(os.listdir())
    else:
        os.chdir(os.path.dirname(path))
        files = [os.path.basename(path)]

    def run() -> None:
        OrasClient(hostname=host, insecure=True).push(f"{host}/{repository}:v1", files=files, quiet=True)

    return run


VERBS: dict[str, Callable[..., Callable[[], object]]] = {
    "dxf-pull": _dxf_pull,
    "dxf-push": _dxf_push,
    "dxf-push-directory": _dxf_push_directory,
    "dxf-aliases": _dxf_aliases,
    "dxf-repositories": _dxf_repositories,
    "oras-push": _oras_push,
}


def main() -> None:
    """The command line."""
    run = VERBS[sys.argv[1]](*sys.argv[2:])
    print("ready", flush=True)
    if sys.stdin.readline():
        run()


if __name__ == "__main__":
    main()
