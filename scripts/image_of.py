"""Publishes a Debian system as an image of two layers in a registry of its own, for scripts/images.

Prints the registry's host, and serves until it is ended.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.archive.making import file, tar
from tests.registries import Lab
from tests.scenarios.foreign import Foreign


def main() -> None:
    """Publish ``debian:v1`` of the directory that is named; its second layer removes a file and adds one."""
    work = Path(sys.argv[1])
    options = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--format=pax"]
    packed = subprocess.run(["tar", *options, "-c", "-C", work / "debian", "."], check=True, capture_output=True)
    lab_directory = work / "lab"
    lab_directory.mkdir(exist_ok=True)
    lab = Lab(lab_directory)
    registry = lab.start("plain")
    with closing(Foreign(registry)) as client:
        client.image("debian", "v1", packed.stdout, tar(file("etc/.wh.hostname"), file("etc/added", b"a")))
    sys.stdout.write(registry.host)
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    lab.stop()


if __name__ == "__main__":
    main()
