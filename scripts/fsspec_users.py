"""Programs that read and write through fsspec, against a registry; bytes and requests are counted.

Run by ``scripts/fsspec_users``. Exits with status 1 when a program does not get what it wrote.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.counting import Counting
from tests.registries import Lab

_RANGES = 1000
_RANGE_BYTES = 4096


class Ground:
    """A registry behind a proxy that counts; a cache for each program."""

    def __init__(self, directory: Path, mib: int) -> None:
        self.directory = directory
        self.mib = mib
        self.lab = Lab(directory)
        self.registry = self.lab.start("plain")
        self.counting = Counting(self.registry.host)
        self.tag = f"regfs://{self.counting.server.host}/data:v1"
        self.uncounted = f"regfs://{self.registry.host}/data:v1"  # the proxy keeps all that it sees in memory
        self._caches = 0

    def cold(self) -> dict[str, Any]:
        """Storage options with an empty cache. Counting begins."""
        self._caches += 1
        self.counting.server.exchanges.clear()
        self.counting.begin()
        return {"cache_dir": str(self.directory / f"cache{self._caches}"), "state_dir": str(self.directory / "state")}

    def moved(self) -> str:
        """What was asked of the registry since."""
        return f"{len(self.counting.exchanges)} requests, {self.counting.moved / 2**20:.2f} MiB of blobs"


def pandas_parquet(ground: Ground) -> str:
    """One column of a Parquet file."""
    import pandas as pd

    rows = ground.mib * 2**20 // 8 // 16
    columns = {f"c{number}": np.random.default_rng(number).random(rows) for number in range(16)}
    options = ground.cold()
    pd.DataFrame(columns).to_parquet(
        f"{ground.uncounted}/big.parquet", storage_options=options, row_group_size=rows // 4
    )
    size = fsspec.filesystem("regfs", **options).size(f"{ground.uncounted}/big.parquet")
    options, begin = ground.cold(), time.monotonic()
    found = pd.read_parquet(f"{ground.tag}/big.parquet", columns=["c7"], storage_options=options)
    seconds = time.monotonic() - begin
    assert (found["c7"].to_numpy() == columns["c7"]).all()
    return f"one of 16 columns of {size / 2**20:.0f} MiB, cold: {seconds:.2f} s, {ground.moved()}"


def pandas_csv(ground: Ground) -> str:
    """CSV, written and read."""
    import pandas as pd

    frame = pd.DataFrame({"a": range(1000), "b": [f"row {number}" for number in range(1000)]})
    options = ground.cold()
    frame.to_csv(f"{ground.tag}/rows.csv.gz", index=False, storage_options=options)
    assert pd.read_csv(f"{ground.tag}/rows.csv.gz", storage_options=ground.cold()).equals(frame)
    return ground.moved()


def pyarrow_dataset(ground: Ground) -> str:
    """A partitioned dataset, written in one transaction."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    table = pa.table({"year": [2024] * 50 + [2025] * 50, "value": list(range(100))})
    fs = fsspec.filesystem("regfs", **ground.cold())
    base = fs._strip_protocol(ground.tag) + "/dataset"
    partitioning = ds.partitioning(pa.schema([("year", pa.int64())]), flavor="hive")
    ds.write_dataset(table, base, filesystem=fs, format="parquet", partitioning=partitioning)
    written = ground.moved()
    read = ds.dataset(base, filesystem=fsspec.filesystem("regfs", **ground.cold()), partitioning=partitioning)
    assert read.to_table(filter=ds.field("year") == 2025)["value"].to_pylist() == list(range(50, 100))
    return f"written: {written}; read: {ground.moved()}"


def duckdb_sql(ground: Ground) -> str:
    """SQL over a registry."""
    import duckdb

    connection = duckdb.connect()
    connection.register_filesystem(fsspec.filesystem("regfs", **ground.cold()))
    rows = connection.sql(f"select count(*), max(c3) < 1 from read_parquet('{ground.tag}/big.parquet')").fetchall()
    assert rows[0][0] > 0
    assert rows[0][1]
    return ground.moved()


def zarr_array(ground: Ground) -> str:
    """A chunked array, written and read in part."""
    import zarr

    content = np.arange(400 * 400).reshape(400, 400)
    store = zarr.storage.FsspecStore.from_url(f"{ground.tag}/array.zarr", storage_options=ground.cold())
    zarr.create_array(store, data=content, chunks=(100, 100))
    store = zarr.storage.FsspecStore.from_url(f"{ground.tag}/array.zarr", storage_options=ground.cold(), read_only=True)
    assert (zarr.open_array(store, mode="r")[150:160, 250:260] == content[150:160, 250:260]).all()
    return f"one of 16 chunks: {ground.moved()}"


def h5py_file(ground: Ground) -> str:
    """HDF5 through a Python file, written in place and read in part."""
    import h5py

    fs = fsspec.filesystem("regfs", **ground.cold())
    content = np.random.default_rng(1).random((64, 1 << 15))
    with fs.open(f"{ground.tag}/data.h5", "w+b") as file, h5py.File(file, "w") as hdf:
        hdf.create_dataset("rows", data=content, chunks=(1, 1 << 15))
    fs = fsspec.filesystem("regfs", **ground.cold())
    with fs.open(f"{ground.tag}/data.h5", "rb") as file, h5py.File(file, "r") as hdf:
        assert (hdf["rows"][40] == content[40]).all()
    return f"one row of {content.nbytes >> 20} MiB: {ground.moved()}"


def safetensors_tensor(ground: Ground) -> str:
    """One tensor of a file of many, by its header."""
    from safetensors.numpy import load, save_file

    tensors = {f"t{number}": np.full(ground.mib * 2**20 // 64, number, np.uint8) for number in range(64)}
    local = ground.directory / "model.safetensors"
    save_file(tensors, local)
    fsspec.filesystem("regfs", **ground.cold()).put_file(local, f"{ground.uncounted}/model.safetensors")
    fs = fsspec.filesystem("regfs", **ground.cold())
    with fs.open(f"{ground.tag}/model.safetensors") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(length))["t41"]
        start, end = entry["data_offsets"]
        file.seek(8 + length + start)
        data = file.read(end - start)
    header = json.dumps({"t41": entry | {"data_offsets": [0, end - start]}}).encode()
    tensor = load(struct.pack("<Q", len(header)) + header + data)["t41"]
    assert (tensor == 41).all()
    assert len(tensor) == ground.mib * 2**20 // 64
    return f"one tensor of {(end - start) / 2**20:.0f} MiB of {local.stat().st_size / 2**20:.0f} MiB: {ground.moved()}"


def upath(ground: Ground) -> str:
    """pathlib's verbs."""
    from upath import UPath

    path = UPath(f"{ground.tag}/notes", **ground.cold())
    (path / "a.txt").write_text("hello")
    assert [child.name for child in path.iterdir()] == ["a.txt"]
    assert (path / "a.txt").read_text() == "hello"
    assert (path / "a.txt").stat().st_size == 5
    (path / "a.txt").unlink()
    assert not (path / "a.txt").exists()
    return ground.moved()


def ranges(ground: Ground) -> str:
    """1,000 ranges of one file at once, through regfs and through fsspec's HTTP file system."""
    fs = fsspec.filesystem("regfs", **ground.cold())
    path = fs._strip_protocol(ground.tag) + "/big.parquet"
    info = fs.info(path)
    starts = [int(place) for place in np.random.default_rng(5).integers(0, info["size"] - _RANGE_BYTES, _RANGES)]
    ends = [start + _RANGE_BYTES for start in starts]
    begin = time.monotonic()
    cold = fs.cat_ranges([path] * _RANGES, starts, ends, on_error="raise")
    lines = [f"cold {time.monotonic() - begin:.2f} s, {ground.moved()}"]
    begin = time.monotonic()
    assert fs.cat_ranges([path] * _RANGES, starts, ends, on_error="raise") == cold
    lines.append(f"cached {time.monotonic() - begin:.2f} s")
    url = f"{ground.counting.url}/v2/data/blobs/{info['digest']}"
    ground.cold()
    http = fsspec.filesystem("http")
    begin = time.monotonic()
    assert http.cat_ranges([url] * _RANGES, starts, ends, on_error="raise") == cold
    lines.append(f"fsspec's HTTP file system on the same blob: {time.monotonic() - begin:.2f} s, {ground.moved()}")
    return "; ".join(lines)


def threads(ground: Ground) -> str:
    """Eight threads read one file: each chunk is fetched once."""
    options = ground.cold()
    path = f"{ground.tag}/model.safetensors"
    with ThreadPoolExecutor(8) as pool:
        sizes = set(pool.map(lambda _: len(fsspec.filesystem("regfs", **options).cat_file(path)), range(8)))
    assert len(sizes) == 1
    return f"{sizes.pop() / 2**20:.0f} MiB by 8 threads: {ground.moved()}"


PROGRAMS: tuple[Callable[[Ground], str], ...] = (
    pandas_parquet, pandas_csv, pyarrow_dataset, duckdb_sql, zarr_array, h5py_file, safetensors_tensor, upath, ranges,
    threads,
)  # fmt: skip


def main() -> int:
    """Run all programs; returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=256)
    mib = parser.parse_args().mib
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        ground = Ground(Path(directory), mib)
        try:
            for program in PROGRAMS:
                try:
                    print(f"ok    {program.__name__}: {program(ground)}", flush=True)
                except Exception:  # noqa: BLE001 - the other programs are run, too
                    failed += 1
                    print(f"FAILS {program.__name__}: {traceback.format_exc()}", flush=True)
        finally:
            ground.counting.server.stop()
            ground.lab.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
