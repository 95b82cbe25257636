"""The layers: who may import whom, and who owns which outside package. The contracts are in pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from importlinter.api import read_configuration

ROOT = Path(__file__).parents[1]


def test_every_layer_imports_only_what_is_below_it() -> None:
    command = [sys.executable, f"{sysconfig.get_path('scripts')}/lint-imports", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_outside_package_has_an_owner() -> None:
    listed = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    needed = {"fsspec", *re.findall(r'"([\w-]+)', listed[1])} if listed else set()  # fsspec is of an extra
    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    owned = {name for contract in contracts for name in contract.get("forbidden_modules", ())}
    owned = {name for name in owned if not name.startswith("regfs.")}
    assert {"fuse" if name == "fusepy" else name.replace("-", "_") for name in needed} == owned


def test_a_test_file_has_a_name_of_its_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
