"""What a profile saw, for people: a table by operation and kernel, and a trace for Perfetto and Chrome."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["kernel", "copy", "host"]
_HOST_TRACK, _DEVICE_TRACK = 1, 2


@dataclass(frozen=True)
class Span:
    """One thing that took time.

    Times are nanoseconds of Python's perf_counter_ns; `queued_ns` and `submitted_ns` are for commands of a
    device alone. `size_bytes` is what had to be moved, None if that is not known.
    """

    kind: Kind
    name: str
    operation: str
    start_ns: int
    end_ns: int
    size_bytes: int | None = None
    queued_ns: int | None = None
    submitted_ns: int | None = None
    sizes: str = ""
    in_table: bool = True


@dataclass(frozen=True)
class Row:
    """One line of the table: a kernel, a copy or work on the host, in the operation that made it.

    `rate_gb_s` is known for copies, and where an operation reads its inputs and writes its result once.
    """

    operation: str
    name: str
    calls: int
    total_ms: float
    mean_us: float
    share: float
    rate_gb_s: float | None


def rows(spans: Iterable[Span]) -> list[Row]:
    """The spans summed by operation and name, those that took longest first."""
    groups: dict[tuple[str, str], list[Span]] = {}
    for each in spans:
        if each.in_table:
            groups.setdefault((each.operation, each.name), []).append(each)
    everything_ns = sum(each.end_ns - each.start_ns for group in groups.values() for each in group)
    found = [_row(operation, name, group, everything_ns) for (operation, name), group in groups.items()]
    return sorted(found, key=lambda row: -row.total_ms)


def _row(operation: str, name: str, group: Sequence[Span], everything_ns: int) -> Row:
    total_ns = sum(each.end_ns - each.start_ns for each in group)
    sizes = [each.size_bytes for each in group if each.size_bytes is not None]
    is_known = len(sizes) == len(group) and total_ns > 0
    return Row(
        operation,
        name,
        calls=len(group),
        total_ms=total_ns / 1e6,
        mean_us=total_ns / 1e3 / len(group),
        share=total_ns / everything_ns if everything_ns else 0.0,
        rate_gb_s=sum(sizes) / total_ns if is_known else None,
    )


def table_text(found: Sequence[Row]) -> str:
    """The rows as a table for a terminal."""
    head = ["operation", "kernel", "calls", "total ms", "mean µs", "share", "GB/s"]
    lines = [head, *(_cells(each) for each in found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _cells(row: Row) -> list[str]:
    rate = "" if row.rate_gb_s is None else f"{row.rate_gb_s:,.1f}"
    numbers = [f"{row.calls:,}", f"{row.total_ms:,.3f}", f"{row.mean_us:,.1f}", f"{row.share:.1%}", rate]
    return [row.operation, row.name, *numbers]


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    words = [each.ljust(width) for each, width in zip(line[:2], widths[:2], strict=True)]
    numbers = [each.rjust(width) for each, width in zip(line[2:], widths[2:], strict=True)]
    return "  ".join([*words, *numbers]).rstrip()


def write_trace(path: Path, spans: Sequence[Span], device: str) -> None:
    """A file in Chrome's trace event format, with the host's calls and the device's commands on a track each;
    ui.perfetto.dev and chrome://tracing open it."""
    start_ns = min((_begin(each) for each in spans), default=0)
    events = [*_names(device), *(_event(each, start_ns) for each in spans)]
    path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}), encoding="utf-8")


def _begin(span: Span) -> int:
    return span.start_ns if span.queued_ns is None else min(span.start_ns, span.queued_ns)


def _names(device: str) -> list[dict[str, Any]]:
    tracks = [("process_name", 0, "tensor"), ("thread_name", _HOST_TRACK, "Python")]
    tracks.append(("thread_name", _DEVICE_TRACK, device))
    return [
        {"ph": "M", "name": name, "pid": os.getpid(), "tid": track, "args": {"name": shown}}
        for name, track, shown in tracks
    ]


def _event(span: Span, start_ns: int) -> dict[str, Any]:
    """One complete event; times in µs since the first of all."""
    facts: dict[str, Any] = {"operation": span.operation} if span.operation else {}
    if span.queued_ns is not None and span.submitted_ns is not None:
        facts["queued_us"] = (span.start_ns - span.queued_ns) / 1e3
        facts["submitted_us"] = (span.start_ns - span.submitted_ns) / 1e3
    if span.sizes:
        facts["sizes"] = span.sizes
    if span.size_bytes is not None:
        facts["size_bytes"] = span.size_bytes
    return {
        "ph": "X",
        "name": span.operation if span.kind == "host" else span.name,
        "cat": span.kind,
        "ts": (span.start_ns - start_ns) / 1e3,
        "dur": (span.end_ns - span.start_ns) / 1e3,
        "pid": os.getpid(),
        "tid": _HOST_TRACK if span.kind == "host" else _DEVICE_TRACK,
        "args": facts,
    }
