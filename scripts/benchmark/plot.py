"""The picture: each case's medians as bars, with the spread. The owner of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from scripts.benchmark.harness import SECONDS

mpl.use("svg")
from matplotlib import pyplot

_COLUMNS = 2
_OURS, _OTHERS = "#2b6cb0", "#a0aec0"


def draw(path: Path, cases: Mapping[str, Any], order: Sequence[str]) -> None:
    """Draw every case that has been measured, as SVG."""
    shown = [cases[name] for name in order if name in cases]
    rows = math.ceil(len(shown) / _COLUMNS)
    mpl.rcParams.update({"svg.hashsalt": "regfs", "font.size": 8, "svg.fonttype": "none"})
    figure, axes = pyplot.subplots(rows, _COLUMNS, figsize=(10, 1.75 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for axis, case in zip(axes.flat, shown, strict=False):
        _bars(axis, case)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _bars(axis: Any, case: Mapping[str, Any]) -> None:
    times = {name: sorted(r[SECONDS] for r in entry["rounds"]) for name, entry in case["contenders"].items()}
    times = {name: values for name, values in times.items() if values}
    names = list(times)
    medians = [_median(times[name]) for name in names]
    least = [median - times[name][0] for name, median in zip(names, medians, strict=True)]
    most = [times[name][-1] - median for name, median in zip(names, medians, strict=True)]
    colours = [_OURS if name.startswith("regfs") else _OTHERS for name in names]
    axis.barh(names, medians, xerr=[least, most], color=colours, ecolor="#4a5568", capsize=2)
    axis.invert_yaxis()
    axis.set_title(case["title"], fontsize=9, loc="left")
    axis.set_xlabel("seconds; less is better", fontsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def _median(values: Sequence[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
