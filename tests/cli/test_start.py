"""What a command loads before it begins: not what only another one needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCHEMA1, METRICS, BARS, FUSE = {"jwcrypto", "cryptography"}, {"prometheus_client"}, {"tqdm"}, {"fuse"}
WIRE = {"requests", "urllib3"}


def loaded(code: str) -> set[str]:
    """The modules, and the packages that they are in, that a program has loaded at its end."""
    program = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = done.stderr.split()
    return {module.split(".")[0] for module in modules} | set(modules)


def test_the_version_needs_no_registry() -> None:
    code = (
        "from regfs.__main__ import main\n"
        "sys.argv = ['regfs', '--version']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    found = loaded(code)
    assert found & (SCHEMA1 | METRICS | BARS | FUSE | WIRE) == set()
    assert {"regfs.session", "regfs.registry", "regfs.oci", "asyncio"} & found == set()


@pytest.mark.parametrize("module", ["artifacts", "fetching", "journal", "mounting"])
def test_a_command_loads_no_more_than_it_needs(module: str) -> None:
    assert loaded(f"import regfs.cli.{module}") & (SCHEMA1 | METRICS | BARS | FUSE) == set()


def test_ls_loads_neither_the_writing_half_nor_the_tree_of_a_mount() -> None:
    found = loaded("import regfs.cli.artifacts")
    assert {"regfs.write.tags", "regfs.write.blobs", "regfs.fs.filesystem", "regfs.tree.tree"} & found == set()


def test_the_client_loads_neither_commands_nor_jwcrypto() -> None:
    found = loaded("import regfs\nregfs.DXF")
    assert found & (SCHEMA1 | METRICS | BARS | FUSE | {"click", "regfs.cli", "regfs.session"}) == set()
