"""What a driver's refusal means: its code in words, with the sizes and limits that explain it.

Drivers for GPUs may give memory only when the first command uses it, so that commands fail with the errors of
allocations. A kernel that reads or writes outside its arrays is noticed by a later call, if at all.
"""

from typing import TYPE_CHECKING, Any

from tensor.errors import DeviceError, OutOfMemoryError

if TYPE_CHECKING:
    from tensor.device import Device, OpenCLDevice

_SHORT = ("MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_RESOURCES", "OUT_OF_HOST_MEMORY")
_BROKEN = ("INVALID_COMMAND_QUEUE", "OUT_OF_RESOURCES", "EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST")
_AFTER_A_FAULT = (
    " If memory is not short, a kernel before it has read or written outside its arrays; then this device is "
    "of no more use to this process: start it again."
)


def code_name(error: Any) -> str:
    """The name of a pyopencl error's code, such as "OUT_OF_RESOURCES"."""
    import pyopencl

    names: Any = pyopencl.status_code
    return str(names.to_string(error.code, "error %d"))


def is_short_of_memory(error: Any) -> bool:
    """Whether giving memory back may help."""
    return code_name(error) in _SHORT


def command_refused(device: "Device", doing: str, error: Any) -> DeviceError:
    """The error for a copy, wait or replay that a driver refused; `doing` says which: "reading values"."""
    name = code_name(error)
    hint = _AFTER_A_FAULT if name in _BROKEN else ""
    if name not in _SHORT:
        return DeviceError(f"{device.name} failed while {doing}: {name}.{hint}")
    return OutOfMemoryError(
        f"{device.name} ran out of memory while {doing} ({name}): {device.memory()}.{hint}"
    )


def launch_refused(
    device: "OpenCLDevice", kernel: Any, global_size: Any, local_size: Any, error: Any
) -> DeviceError:
    """The error for a kernel (pyopencl's) that could not be enqueued with these sizes."""
    name = code_name(error)
    if name in _SHORT:
        return command_refused(device, f"launching kernel {kernel.function_name}", error)
    return DeviceError(
        f"{device.name} refused kernel {kernel.function_name} with global size {global_size} and local size "
        f"{local_size}: {name}. {_limits(device, kernel)}"
    )


def _limits(device: "OpenCLDevice", kernel: Any) -> str:
    """What the device and the kernel allow."""
    import pyopencl

    info = pyopencl.kernel_work_group_info
    most = kernel.get_work_group_info(info.WORK_GROUP_SIZE, device.raw)
    fixed = tuple(kernel.get_work_group_info(info.COMPILE_WORK_GROUP_SIZE, device.raw))
    local_bytes = kernel.get_work_group_info(info.LOCAL_MEM_SIZE, device.raw)
    given = f"the kernel itself demands the local size {fixed}, " if any(fixed) else ""
    return (
        f"The local size has to divide the global one; {given}a group of this kernel may have {most} items, "
        f"of the device {tuple(device.raw.max_work_item_sizes)} along the axes, and {local_bytes:,} bytes of "
        f"local memory of {device.raw.local_mem_size:,} are used."
    )
