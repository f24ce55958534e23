"""Compile errors: file, line, column, the line itself and a caret, from every compiler's log."""

import pytest

import tensor
from tensor import program
from tensor.build_log import errors_shown, warnings_shown
from tests.devices import opencl_devices

SOURCE = """#define T float
#define SIZE 4
#line 1 "mine.cl"
__kernel void f(__global T *out) {
#line 1 "twice.h"
#define TWICE(x) ((x) + missing(x))
#line 3 "mine.cl"
\tout[0] = TWICE(out[1]) + nothing;
  /* é */ out[1] = gone;
}
"""
NVIDIA = """clBuildProgram failed: BUILD_PROGRAM_FAILURE - clBuildProgram failed: BUILD_PROGRAM_FAILURE

Build on <pyopencl.Device 'NVIDIA H200' on 'NVIDIA CUDA' at 0x1949b0>:

mine.cl:3:11: error: implicit declaration of function 'missing' is invalid in OpenCL
        out[0] = TWICE(out[1]) + nothing;
                 ^
twice.h:1:25: note: expanded from macro 'TWICE'
#define TWICE(x) ((x) + missing(x))
                        ^
mine.cl:4:21: error: use of undeclared identifier 'gone'
mine.cl:3:2: warning: expression result unused
mine.cl:3:2: note: of the warning
"""
POCL = """error: mine.cl:3:11 <Spelling=twice.h:1:25>: implicit declaration of function 'missing'
error: mine.cl:4:21: use of undeclared identifier 'gone'
warning: mine.cl:3:2: expression result unused
Device pthread-AMD EPYC failed to build the program
"""
AMD_OF_OLD = """"mine.cl", line 3: error:
          identifier "missing" is undefined
        out[0] = TWICE(out[1]) + nothing;
                 ^

"mine.cl", line 4: error: identifier "gone" is undefined
"""


def test_nvidias_and_intels_form_is_understood():
    assert errors_shown(NVIDIA, SOURCE, ["-DX=1"]) == (
        "  mine.cl:3:11: implicit declaration of function 'missing' is invalid in OpenCL\n"
        "    \tout[0] = TWICE(out[1]) + nothing;\n"
        "    \t         ^\n"
        "  twice.h:1:25: note: expanded from macro 'TWICE'\n"
        "    #define TWICE(x) ((x) + missing(x))\n"
        "                            ^\n"
        "  mine.cl:4:21: use of undeclared identifier 'gone'\n"
        "      /* é */ out[1] = gone;\n"
        "                       ^\n"
        "  compiled with #define T float, #define SIZE 4 and options -DX=1"
    )
    assert warnings_shown(NVIDIA, SOURCE).startswith("  mine.cl:3:2: warning: expression result unused\n")


def test_pocls_form_is_understood():
    shown = errors_shown(POCL, SOURCE, [])
    assert "  mine.cl:3:11: implicit declaration of function 'missing'" in shown
    assert "    \tout[0] = TWICE(out[1]) + nothing;\n    \t         ^\n" in shown
    assert "unused" not in shown
    assert "unused" in warnings_shown(POCL, SOURCE)


def test_amds_older_form_is_understood():
    assert errors_shown(AMD_OF_OLD, SOURCE, []).splitlines()[:4] == [
        '  mine.cl:3: identifier "missing" is undefined',
        "    \tout[0] = TWICE(out[1]) + nothing;",
        '  mine.cl:4: identifier "gone" is undefined',
        "      /* é */ out[1] = gone;",
    ]


def test_nvidia_counts_the_lines_of_the_whole_text():
    lines = ["#define T float", '#line 1 "source"', "kernel void f() {", '#line 1 "a.h"', "int a;"]
    source = "\n".join([*lines, '#line 3 "source"', "  g();", "}"])
    shown = errors_shown("<kernel>:7:3: error: what\n<kernel>:5:5: error: that", source, [])
    assert shown.splitlines()[:5] == [
        "  source:3:3: what",
        "      g();",
        "      ^",
        "  a.h:1:5: that",
        "    int a;",
    ]


@pytest.mark.parametrize("name", ["/tmp/tempfile_8BIIDi.cl", "", "2"])
def test_a_driver_may_have_names_of_its_own_for_text_without_one(name):
    shown = errors_shown(f"{name}:2:3: error: what", '#line 1 "source"\nkernel void f() {\n  g();\n}', [])
    assert shown.splitlines()[:3] == ["  source:2:3: what", "      g();", "      ^"]


def test_what_is_not_understood_is_shown_as_it_came():
    log = "ptxas application ptx input, line 16; error   : Feature 'x' requires .target sm_30 or higher"
    assert errors_shown(log, SOURCE, []) == log


def test_of_very_many_errors_ten_are_shown():
    log = "".join(f"mine.cl:1:{i}: error: number {i}\n" for i in range(1, 30))
    shown = errors_shown(log, SOURCE, [])
    assert "number 10\n" in shown
    assert "number 11\n" not in shown
    assert "… and 19 more" in shown


def test_the_compiler_here_is_understood(opencl):
    source = '#define UNUSED 1\nkernel void f(global T *out) {\n#include "common.h"\n\tout[0] = gone;\n}'
    with pytest.raises(tensor.errors.KernelBuildError) as caught:
        tensor.kernel(source, "f", defines={"T": "float"}).on(opencl)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"OpenCL C text does not compile on {opencl.name}:"
    at = next(i for i, line in enumerate(lines) if line.startswith("  source:4:11: ") and "gone" in line)
    assert lines[at + 1 : at + 3] == ["    \tout[0] = gone;", "    \t         ^"]
    assert lines[-1].startswith("  compiled with #define T float and options -cl-std")


@pytest.mark.parametrize("device", opencl_devices(), ids=lambda each: each.spec, indirect=True)
def test_warnings_are_told_who_asks(device):
    noisy = tensor.kernel("kernel void f(global float *out) {\n  3;\n  out[0] = 1;\n}", "f")
    if not noisy.warnings():
        pytest.skip(f"the compiler of {device.name} does not warn")
    for _ in range(2):  # although the driver knows the kernel now
        assert noisy.warnings().splitlines()[:2] == [
            "  source:2:3: warning: expression result unused",
            "      3;",
        ]
    assert tensor.kernel("kernel void f(global float *out) { out[0] = 1; }", "f").warnings(device) == ""


def test_warnings_are_of_a_text_that_no_cache_of_a_driver_has(opencl, monkeypatch):
    texts, compiled = [], program._compile
    monkeypatch.setattr(program, "_compile", lambda *taken: texts.append(taken[1]) or compiled(*taken))
    kernel = tensor.kernel("kernel void f(global float *out) { out[0] = 1; }", "f")
    assert kernel.warnings() == kernel.warnings() == ""
    assert texts[0] != texts[1]


def test_only_a_compiler_for_opencl_warns(opencl):
    noisy = tensor.kernel("kernel void f(global float *out) { 3; }", "f")
    with pytest.raises(tensor.errors.DeviceError, match="compiled for OpenCL devices only, not for numpy"):
        noisy.warnings("numpy")
