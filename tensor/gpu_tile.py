"""Which tile of kernels/gpu_tile.h a product on a GPU is cut into, and in how many parts its sum.

A plan is chosen by a model of the time that the busiest compute unit takes, in multiply-adds of one unit; its
figures fit an NVIDIA H200 (docs/log.md). Fewer groups than units, or few more than a multiple of them, leave
units idle: then smaller tiles help, or cutting the sum over k in parts that a second kernel adds in order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tensor.device import Device
from tensor.gemm import ceil_div
from tensor.nvidia import compute_capability

STEP = 8  # BK of gpu_tile.h: k of one step
LEAST_DEPTH = 128  # of a part: fewer k would cost more in adding parts than they gain
MOST_PARTS = 512
FULL_WARPS = 8  # warps that keep a unit busy
BEGINNING = 96  # k in whose time a group begins and ends
BYTE = 7.0  # multiply-adds of a unit in the time that it moves a byte to or from memory
LAUNCH = 1_200_000.0  # multiply-adds of a unit in the time of one more launch, the host's included


@dataclass(frozen=True)
class GpuTile:
    """What gpu_tile.h is specialised by: rows × columns of a work-group and how its warps stand."""

    rows: int
    columns: int
    warps_m: int
    warps_n: int
    resident: int  # groups that one compute unit holds
    rate: float  # of the multiply-adds that a unit could do
    slices: int = 1  # of the warps, each with its own k

    @property
    def items(self) -> int:
        """Work-items of a group."""
        return self.warps_m * self.warps_n * self.slices * 32

    def slowness(self, groups: int) -> float:
        """The time of so many groups at once, in that of one at full speed: few warps hide no latency."""
        busy = min(1.0, groups * self.items / 32 / FULL_WARPS)
        return float(groups / busy**0.7) if groups else 0.0

    def defines(self) -> dict[str, str | int]:
        """As `#define`s."""
        sizes = {"BM": self.rows, "BN": self.columns, "WARPS_M": self.warps_m, "WARPS_N": self.warps_n}
        return {**sizes, "SLICES": self.slices}


SQUARE = GpuTile(128, 128, 2, 2, 2, 1.0)
TALL = GpuTile(256, 64, 4, 1, 2, 0.95)
WIDE = GpuTile(64, 256, 1, 4, 2, 1.02)
HALF = GpuTile(64, 128, 1, 2, 4, 1.0)
SMALL = GpuTile(64, 64, 2, 1, 5, 0.9)
TILES = (SQUARE, TALL, WIDE, HALF, SMALL)
# With a quarter of k for each of four slices, a single group keeps a unit busy. Much local memory.
SLICED = (GpuTile(64, 128, 1, 2, 1, 0.97, 4), GpuTile(64, 64, 2, 1, 2, 0.83, 4))


@dataclass(frozen=True)
class Plan:
    """A tile, and parts of `depth` k each."""

    tile: GpuTile
    parts: int
    depth: int

    def groups(self, rows: int, columns: int) -> int:
        """Work-groups of one part of one product."""
        return ceil_div(rows, self.tile.rows) * ceil_div(columns, self.tile.columns)


@lru_cache(maxsize=4096)
def plan(
    units: int, rows: int, columns: int, depth: int, count: int = 1, tiles: tuple[GpuTile, ...] = TILES
) -> Plan:
    """The plan for `count` products of rows × depth · depth × columns on `units` compute units."""
    return min(_plans(depth, tiles), key=lambda each: _time(each, units, rows, columns, count))


def _plans(depth: int, tiles: tuple[GpuTile, ...]) -> Iterator[Plan]:
    for tile in tiles:
        parts = 1
        while parts == 1 or (parts <= MOST_PARTS and ceil_div(depth, parts) >= LEAST_DEPTH):
            each = ceil_div(ceil_div(depth, parts), STEP) * STEP
            yield Plan(tile, ceil_div(depth, each), each)
            parts += 1 + parts // 4


def _time(plan: Plan, units: int, rows: int, columns: int, count: int) -> float:
    tile = plan.tile
    groups = ceil_div(plan.groups(rows, columns) * count * plan.parts, units)  # of the busiest unit
    whole, rest = divmod(groups, tile.resident)
    one = tile.rows * tile.columns * (plan.depth + BEGINNING) / tile.rate
    busy = one * (whole * tile.slowness(tile.resident) + tile.slowness(rest))
    adding = LAUNCH + 8 * BYTE * plan.parts * rows * columns * count / units if plan.parts > 1 else 0.0
    return busy + adding


def asynchronous(device: Device) -> int:
    """1 if work-items can move memory without registers: NVIDIA's cp.async, from sm_80 on."""
    raw: Any = getattr(device, "raw", None)
    return int(device.kind == "gpu" and compute_capability(raw) >= (8, 0))
