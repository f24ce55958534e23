"""Writing with index arrays entry after entry, on a CPU.

A work-item owns some columns of some rows and goes through all entries in their order, so no other one ever
writes where it does. Single elements (one column) are written by one thread alone, in the time that NumPy
takes; atomic operations on all threads took longer, and so did threads that each own some of the places.
"""

from math import prod

from tensor.array import Array
from tensor.kernel import built
from tensor.layout import CPU_ELEMENTS_EACH
from tensor.places import pack_longs
from tensor.table_walk import Walk

_COLUMNS = 64  # of a work-item, at least


def write_in_order(combine: str, element: str, way: Walk, steps: Array, x: Array, values: Array) -> None:
    """x[steps] = values, or += by `combine`; `way` has a fast axis."""
    entries, columns = len(steps), way.sizes[-1]
    rows = prod(way.sizes[:-1]) // entries
    each_row = max(1, CPU_ELEMENTS_EACH // (entries * columns))
    row_blocks = -(-rows // each_row)
    wanted = x.device.compute_units if entries * columns * rows > CPU_ELEMENTS_EACH else 1
    column_blocks = min(-(-wanted // row_blocks), max(1, columns // _COLUMNS))
    each_column = -(-columns // column_blocks)
    kernel = built(
        x.device, "in_order.cl", "in_order", {"T": element, "COMBINE": combine, "INDEX": way.index}
    )
    head = (*pack_longs(way.sizes), len(way.sizes), way.table_axis, rows, each_row, each_column)
    target = (steps.buffer, x.buffer, x.offset, *way.strides[0])
    source = (values.buffer, values.offset, *way.strides[1])
    global_size = (-(-columns // each_column), row_blocks)
    kernel(global_size, *head, *target, *source, local_size=(1, 1))
