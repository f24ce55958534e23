#!/usr/bin/env python3
"""Bringing values to a device and back against NumPy's copy of them, in turn in one process: JSON lines.

    python scripts/bench_transfer.py [--device cpu] [--megabytes 64] [--repetitions 5]

`ratio` is NumPy's best time by ours: above 1 we are faster. NumPy copies into memory that it had before
(asarray), into new memory (numpy()), or writes and reads the same file (save, load).
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timing import in_turn_s


def cases(spec: str, megabytes: int, folder: Path) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """What we do and what NumPy does, by name."""
    import numpy

    import tensor

    device = tensor.device(spec)
    values = numpy.random.default_rng(0).random(megabytes * 2**18, numpy.float32)
    warm = values.copy()
    x = tensor.asarray(values, device=device)
    ours, theirs = folder / "ours.npy", folder / "theirs.npy"
    return {
        "asarray": (lambda: tensor.asarray(values, device=device), lambda: numpy.copyto(warm, values)),
        "numpy()": (x.numpy, values.copy),
        "from_dlpack": (lambda: tensor.from_dlpack(values, device=device), values.copy),
        "to NumPy by DLPack": (lambda: numpy.from_dlpack(x, device="cpu"), values.copy),
        "save": (lambda: tensor.save(ours, x), lambda: numpy.save(theirs, values)),
        "load": (lambda: tensor.load(ours, device), lambda: numpy.load(theirs)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, (ours, theirs) in cases(options.device, options.megabytes, Path(folder)).items():
            ours_s, numpy_s = in_turn_s(ours, theirs, options.repetitions)
            times = {"ours_ms": round(ours_s * 1e3, 3), "numpy_ms": round(numpy_s * 1e3, 3)}
            print(json.dumps({"benchmark": name, **times, "ratio": round(numpy_s / ours_s, 2)}), flush=True)


if __name__ == "__main__":
    main()
