"""Run the public array API test suite on tensor and on NumPy, and compare.

    python scripts/conformance.py CHECKOUT [--device numpy --device cpu] [--max-examples 20]

CHECKOUT is a clone of https://github.com/data-apis/array-api-tests with its submodule; `pip install -r
CHECKOUT/requirements.txt` first. For each device it prints how many of the tests that NumPy passes tensor
passes, and every other one, with its reason where tests/conformance.txt gives one. Exits with 1 if one has no
reason.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
KNOWN = ROOT / "tests" / "conformance.txt"
TIMEOUT_S = 3600


def main() -> int:
    options = parsed()
    known = known_failures(KNOWN.read_text(encoding="utf-8"))
    passes = outcomes(options.checkout, "numpy", "", options.max_examples)["passed"]
    print(f"numpy: {len(passes)} passed", flush=True)
    return max([report(device, passes, known, options) for device in options.device])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--device", action="append", help="numpy, cpu, gpu, …; may be given several times")
    parser.add_argument("--max-examples", type=int, default=20, help="that Hypothesis draws for a test")
    options = parser.parse_args()
    options.device = options.device or ["numpy", "opencl"]
    if not (options.checkout / "array_api_tests").is_dir():
        parser.error(
            f"{options.checkout} is no checkout of array-api-tests: it has no folder array_api_tests"
        )
    return options


def known_failures(text: str) -> dict[str, str]:
    """Reasons by the beginning of a test's name, from lines `name: reason`."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: reason.strip() for name, reason in (line.split(": ", 1) for line in lines)}


def outcomes(checkout: Path, module: str, device: str, max_examples: int) -> dict[str, set[str]]:
    """The names of the tests by outcome: passed, failed, skipped."""
    environment = os.environ | {
        "ARRAY_API_TESTS_MODULE": module,
        "MESH_DEVICE": device,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    if not device:
        del environment["MESH_DEVICE"]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", "array_api_tests", "-q", "-p", "no:cacheprovider"]
        command += ["--disable-deadline", f"--max-examples={max_examples}", f"--junitxml={results}"]
        subprocess.run(
            command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False
        )
        if not results.exists():
            raise SystemExit(f"The suite did not run: see above. pip install -r {checkout}/requirements.txt")
        return by_outcome(ElementTree.parse(results).getroot())


def by_outcome(results: ElementTree.Element) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"passed": set(), "failed": set(), "skipped": set()}
    for case in results.iter("testcase"):
        tags = {child.tag for child in case}
        outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        found[outcome].add(f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name')}")
    return found


def passed_otherwise_named(name: str, ours: dict[str, set[str]]) -> bool:
    """Whether a test with parameters is named otherwise for us (pytest numbers dtypes, and spells out
    classes), and
    none of them failed."""
    test = name.split("[")[0]
    known = [each for names in ours.values() for each in names if each.split("[")[0] == test]
    return name not in known and bool(known) and all(each in ours["passed"] for each in known)


def report(device: str, passes: set[str], known: dict[str, str], options: argparse.Namespace) -> int:
    """Print what NumPy passes and tensor does not; 1 if there is no reason for one of them."""
    ours = outcomes(options.checkout, "tensor", device, options.max_examples)
    missed = sorted(name for name in passes - ours["passed"] if not passed_otherwise_named(name, ours))
    share = 1 - len(missed) / len(passes)
    print(f"tensor on {device}: {len(ours['passed'])} passed; of those that NumPy passes {share:.1%}")
    unknown = 0
    for name in missed:
        reason = next((why for start, why in known.items() if name.startswith(start)), None)
        unknown += reason is None
        print(f"  {name}: {reason or 'NOT KNOWN'}", flush=True)
    return int(unknown > 0)


if __name__ == "__main__":
    raise SystemExit(main())
