"""Instructions that OpenCL's compiler does not know: NVIDIA's wgmma, which only code for sm_90a may use.

OpenCL C for a Hopper GPU becomes PTX for sm_90, and wgmma in an `asm` statement is refused. So kernels write
such instructions as PTX comments with their operands: `asm volatile("//@@ wgmma.mma_async…" : "+f"(d0) …)`.
A program's binary is its PTX as text. The marker is taken out of that, the target set to sm_90a, and the
program built again from the result, all by the driver: no CUDA toolkit.
"""

from typing import Any

MARK = "//@@ "


def assembled(program: Any) -> Any:
    """`program`, built from OpenCL C for one device, with the instructions behind MARK in force."""
    import pyopencl

    ptx = program.get_info(pyopencl.program_info.BINARIES)[0].decode()
    ptx = (
        ptx.replace(MARK, "")
        .replace(".target sm_90,", ".target sm_90a,")
        .replace(".target sm_90\n", ".target sm_90a\n")
    )
    devices = program.get_info(pyopencl.program_info.DEVICES)
    context = program.get_info(pyopencl.program_info.CONTEXT)
    return pyopencl.Program(context, devices, [ptx.encode()]).build()
