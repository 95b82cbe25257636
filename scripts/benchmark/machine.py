"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

_PROGRAMS = {
    "curl": ["curl", "--version"],
    "skopeo": ["skopeo", "--version"],
    "rclone": ["rclone", "version"],
    "nginx": ["/usr/sbin/nginx", "-v"],
    "docker-registry": ["docker-registry", "--version"],
    "fusermount": ["fusermount", "-V"],
}
_LIBRARIES = {"python-dxf": "python-dxf", "oras-py": "oras", "requests": "requests", "urllib3": "urllib3"}
_VERSION = re.compile(r"\d+(\.\d+)+\S*")


def describe() -> dict[str, object]:
    """Cores, memory, kernel, and the versions of everything that takes part."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "root": os.geteuid() == 0,
        "versions": _versions(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions() -> dict[str, str]:
    own = f"{metadata.version('regfs')} ({_commit()})"
    programs = {name: _version(command) for name, command in _PROGRAMS.items()}
    libraries = {name: metadata.version(package) for name, package in _LIBRARIES.items()}
    return {"regfs": own, "Python": platform.python_version(), **programs, **libraries}


def _version(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    found = _VERSION.search(done.stdout + done.stderr)
    return found[0] if found else "unknown"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "not from git"
