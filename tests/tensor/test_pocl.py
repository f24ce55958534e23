"""PoCL under the name that this project gives the processor; each time in a process of its own."""

import platform
import subprocess
import sys

import pytest

from tensor import pocl

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or pocl._library() is None,
    reason="there is no PoCL from PyPI for Linux on x86-64 here",
)

RENAMED = """
import ctypes, sys
from tensor import pocl

function = ctypes.CDLL(str(pocl._library())).pocl_get_llvm_cpu_name
function.restype = ctypes.c_char_p
pocl._replace(ctypes.cast(function, ctypes.c_void_p).value, pocl._returns_copy_of(sys.argv[1].encode()))
assert function() == sys.argv[1].encode(), function()

import numpy, tensor
device = next(each for each in tensor.devices() if "Portable" in each.name)
print(device.raw.version)
print(numpy.asarray(tensor.asarray([1.0, 2.0], device=device) + 1))
"""


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.parametrize("name", ["x86-64", "x86-64-v3"])
def test_kernels_are_compiled_for_the_name_that_is_given(name, tmp_path, monkeypatch):
    if name == "x86-64-v3" and pocl._instruction_set() != b"x86-64-v3":
        pytest.skip("this processor has no AVX2")
    monkeypatch.setenv("POCL_CACHE_DIR", str(tmp_path))
    version, values = run(RENAMED, name).splitlines()
    assert version.endswith(f"-{name}")
    assert values == "[2. 3.]"


def test_pocl_never_calls_the_processor_generic():
    code = 'import tensor; print(*(each.raw.version for each in tensor.devices() if "Portable" in each.name))'
    assert run(code).strip()
    assert not run(code).strip().endswith("-generic")
