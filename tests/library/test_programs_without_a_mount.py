"""Programs on regfs://: those that are light. ``scripts/fsspec_users`` runs the others."""

from __future__ import annotations

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from regfs.fsspec import RegistryFileSystem
from tests.counting import Counting
from tests.library.conftest import NewFileSystem

_ROWS = 1 << 18


def test_a_column_of_a_parquet_file_moves_a_part_of_it(
    new_fs: NewFileSystem, repository: str, proxy: Counting, tmp_path: object
) -> None:
    path = f"{proxy.server.host}/{repository}:tag/table.parquet"
    table = pa.table({f"c{number}": [number / 7 + row for row in range(_ROWS)] for number in range(8)})
    fs = new_fs()
    pq.write_table(table, path, filesystem=fs, use_dictionary=False, compression=None)
    proxy.begin()
    other = new_fs(cache_dir=f"{tmp_path}/other")
    assert pq.read_table(path, filesystem=other, columns=["c5"])["c5"].equals(table["c5"])
    assert proxy.moved < fs.size(path) / 2


def test_a_dataset_is_written_and_filtered(fs: RegistryFileSystem, repository: str, proxy: Counting) -> None:
    base = f"{proxy.server.host}/{repository}:tag/dataset"
    table = pa.table({"year": [2024, 2024, 2025], "value": [1, 2, 3]})
    partitioning = ds.partitioning(pa.schema([("year", pa.int64())]), flavor="hive")
    ds.write_dataset(table, base, filesystem=fs, format="parquet", partitioning=partitioning)
    assert sorted(path.rpartition("/dataset/")[2] for path in fs.find(base)) == [
        "year=2024/part-0.parquet",
        "year=2025/part-0.parquet",
    ]
    read = ds.dataset(base, filesystem=fs, partitioning=partitioning)
    assert read.to_table(filter=ds.field("year") == 2025)["value"].to_pylist() == [3]


def test_a_compressed_csv_is_written_and_read(fs: RegistryFileSystem, repository: str, proxy: Counting) -> None:
    url = f"regfs://{proxy.server.host}/{repository}:tag/rows.csv.gz"
    with fsspec.open(url, "wt", compression="infer", newline="", **fs.storage_options) as file:
        file.write("a,b\n1,2\n")
    with fsspec.open(url, "rt", compression="infer", **fs.storage_options) as file:
        assert file.read() == "a,b\n1,2\n"
    assert fs.cat_file(url)[:2] == b"\x1f\x8b"
