"""``regfs status``."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import click

from regfs.cli.completion import directories
from regfs.cli.ending import fail
from regfs.cli.parameters import JSON
from regfs.mount.table import Mounted, Register, without_touching
from regfs.observe.report import ask
from regfs.util.places import default_state_dir
from regfs.util.text import printable
from regfs.write.journal import Journal

_ERRORS = 5  # are shown of each mount
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@click.command()
@click.argument("directory", required=False, shell_complete=directories)
@JSON
def status(directory: str | None, as_json: bool) -> None:
    """Show the state of your mounts, or of the one on DIRECTORY.

    For each mount, status shows the reference, age, open files, use of the cache and the network, requests, pushes
    under way, and the last errors with their remedies. For each registry it shows the number of files that were not
    pushed. status does not ask through the kernel, so it also shows a mount that hangs.

    \b
    regfs status
    regfs status /mnt/reg --json
    """
    register = Register(default_state_dir() / "mounts")
    pending = Counter(item.host for item in Journal(default_state_dir() / "journal", "").pending())
    alive, dead = list(register.alive()), list(register.dead())
    if directory is not None:
        alive, dead = _on(directory, alive), _on(directory, dead)
        if not alive and not dead:
            fail(f"{directory} is not a mount of regfs; to see all mounts: regfs status")
        host = (*alive, *dead)[0].host
        pending = Counter({host: pending[host]} if host in pending else {})
    found = [_described(mounted, ask(register.directory, mounted.pid)) for mounted in alive]
    found += [{**_identity(mounted), "state": "dead"} for mounted in dead]
    if as_json:
        click.echo(json.dumps({"mounts": found, "pending": pending}))
        return
    for line in _lines(found, pending):
        click.echo(printable(line))


def _on(directory: str, mounts: list[Mounted]) -> list[Mounted]:
    there = os.fspath(without_touching(directory))
    return [mounted for mounted in mounts if mounted.directory == there]


def _identity(mounted: Mounted) -> dict[str, Any]:
    known = asdict(mounted)
    return {name: known[name] for name in ("directory", "reference", "pid", "since")}


def _described(mounted: Mounted, told: dict[str, Any] | None) -> dict[str, Any]:
    state = {"state": "hangs"} if told is None else {"state": "serves", **told}
    return {**_identity(mounted), "uptime": round(time.time() - mounted.since, 3), **state}


def _lines(found: list[dict[str, Any]], pending: Mapping[str, int]) -> Iterator[str]:
    if not found:
        yield "nothing is mounted"
    for item in found:
        yield from _of_mount(item)
    for host, count in sorted(pending.items()):
        files, were = ("file", "was") if count == 1 else ("files", "were")
        yield f"{count} {files} for {host} {were} not pushed; see: regfs pending"


def _of_mount(item: dict[str, Any]) -> Iterator[str]:
    yield f"{item['directory']}  {item['reference']}"
    if item["state"] == "dead":
        yield f"  process {item['pid']} is gone; mount again, or run: regfs umount {item['directory']}"
        return
    up = timedelta(seconds=int(item["uptime"]))
    if item["state"] == "hangs":
        yield f"  process {item['pid']}, for {up} does not answer: it is stopped, or hangs"
        return
    cache, network = item["cache"], item["network"]
    yield f"  process   {item['pid']}, for {up}, {item['handles']} files open"
    yield f"  cache     {cache['hits']} hits, {cache['misses']} misses, {_bytes(cache['bytes'])} read"
    moved = f"{_bytes(network['received'])} received, {_bytes(network['sent'])} sent"
    yield f"  network   {moved}, {item['pushed']} files pushed"
    yield from _of_requests(item["requests"])
    for push in item["pushes"]:
        sent = f"{_bytes(push['sent'])} of {_bytes(push['size'])}"
        yield f"  pushing   {push['target']}, {sent}, for {time.time() - push['since']:.0f} s"
    for index in item["indexing"]:
        read = f"{_bytes(index['read'])} of {_bytes(index['size'])}"
        yield f"  indexing  {index['digest']}, {read}, for {time.time() - index['since']:.0f} s"
    for error in item["errors"][-_ERRORS:]:
        when = datetime.fromtimestamp(error["time"]).astimezone().isoformat(" ", "seconds")
        yield f"  error     {when} {error['verb']} {error['path']}: {error['errno']}, {error['text']}"
        if error["remedy"]:
            yield f"            {error['remedy']}"


def _of_requests(requests: list[dict[str, Any]]) -> Iterator[str]:
    for number, item in enumerate(requests):
        each = item["seconds"] / item["count"] * 1000
        title = "" if number else "requests"
        yield f"  {title:<8}  {item['count']:>6} {item['method']} {item['kind']}: {item['result']}, {each:.0f} ms each"


def _bytes(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == _UNITS[0] else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"
