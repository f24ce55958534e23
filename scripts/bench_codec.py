"""How fast the 8-bit codecs encode, decode and merge, against numpy.searchsorted and against copying.

    python scripts/bench_codec.py [--values N] [--block B] [--pushes P] [--rounds R] [--device SPEC]

One JSON object a line. All candidates run in turn in each round and the best round counts, so that a busy
machine slows all of them alike. `merge` is what the server of a bucket does with P pushes, from bytes to
bytes; by "host" it is NumPy's, without arrays of ours. `copies` is the time as a multiple of the time in
which the same device copies as many bytes as the codec reads and writes. For one CPU core, put in front:
POCL_MAX_PTHREAD_COUNT=1 OMP_NUM_THREADS=1
"""

import json
import time
from collections.abc import Callable

import click
import numpy

import mesh.codec
import tensor
from mesh.codec.codebook import TREE

CODECS = ("dettmers8", "adaptive8")
Work = Callable[[], object]


@click.command(help=__doc__)
@click.option("--values", default=1 << 22, show_default=True, help="Length of the vector, standard normal.")
@click.option("--block", default=256, show_default=True, help="Values to a scale.")
@click.option("--pushes", default=2, show_default=True, help="Payloads to merge.")
@click.option("--rounds", default=7, show_default=True, help="How often each candidate runs.")
@click.option("--device", "specs", multiple=True, help="Devices, for example numpy or gpu; all by default.")
def main(values: int, block: int, pushes: int, rounds: int, specs: tuple[str, ...]) -> None:
    """Time all candidates and print one line for each."""
    devices = [tensor.device(spec) for spec in specs] or tensor.devices()
    x = numpy.random.default_rng(0).standard_normal(values).astype(numpy.float32)
    candidates: dict[tuple[str, str, str], Work] = {
        ("searchsorted", "", "encode"): lambda: searchsorted(x, block)
    }
    for name in CODECS:
        candidates["host", name, "merge"] = merging(name, x, block, pushes, None)
    for device in devices:
        candidates |= on_device(x, block, device)
        for name in CODECS:
            candidates[device.spec, name, "merge"] = merging(name, x, block, pushes, device)
    seconds = best_seconds(candidates, rounds)
    names = {device.spec: device.name for device in devices}
    for (by, codec, direction), best in seconds.items():
        line: dict[str, object] = {
            "by": by,
            "codec": codec,
            "direction": direction,
            "block": block,
            "values": values,
        }
        line |= {"seconds": round(best, 6), "values_s": round(values / best)}
        if direction == "merge":
            line |= {"pushes": pushes}
        elif codec:
            line |= {"device": names[by], "copies": round(best / seconds[by, "", "copy"] * 8 / 5.02, 2)}
        print(json.dumps(line))


def on_device(x: numpy.ndarray, block: int, device: tensor.Device) -> dict[tuple[str, str, str], Work]:
    """Encoding, decoding and copying of `x` on `device`; each waits until the device is done."""
    here = tensor.asarray(x, device=device)
    found: dict[tuple[str, str, str], Work] = {(device.spec, "", "copy"): done(device, here.copy)}
    for name in CODECS:
        codec = mesh.codec.by_name(name, block)
        payload = codec.encode_array(here)
        found[device.spec, name, "encode"] = done(device, lambda c=codec: c.encode_array(here))
        found[device.spec, name, "decode"] = done(
            device, lambda c=codec, p=payload: c.decode_array(p, x.size)
        )
    return found


def merging(name: str, x: numpy.ndarray, block: int, pushes: int, device: tensor.Device | None) -> Work:
    """Adding up `pushes` payloads of x, dividing and encoding, on `device` or, without one, by NumPy."""
    codec = mesh.codec.by_name(name, block)
    payload = codec.encode(x)

    def merge() -> None:
        total = numpy.zeros(x.size, numpy.float32) if device is None else tensor.zeros(x.size, device=device)
        for _ in range(pushes):
            codec.decode_add(payload, total)
        total /= 120.0
        codec.encode(total)

    return merge


def done(device: tensor.Device, work: Work) -> Work:
    """`work`, and then waiting for the device."""

    def both() -> None:
        work()
        device.synchronize()

    return both


def searchsorted(x: numpy.ndarray, block: int) -> numpy.ndarray:
    """The plain way: normalise, and look every magnitude up among the boundaries."""
    rows = x[: x.size // block * block].reshape(-1, block)
    boundaries = (TREE.magnitudes[1:] + TREE.magnitudes[:-1]) / 2
    sizes = numpy.abs(rows)
    index = numpy.searchsorted(boundaries, sizes / sizes.max(axis=1, keepdims=True))
    return TREE.wire[index] | (rows < 0).view(numpy.uint8) << 7


def best_seconds(
    candidates: dict[tuple[str, str, str], Work], rounds: int
) -> dict[tuple[str, str, str], float]:
    """Least time of each candidate; all run once in each round, after one round that does not count."""
    best = dict.fromkeys(candidates, float("inf"))
    for number in range(rounds + 1):
        for key, work in candidates.items():
            start = time.perf_counter()
            work()
            if number:
                best[key] = min(best[key], time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
