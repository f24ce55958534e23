"""Linear algebra, by the extension of that name of the array API standard.

Products, norms and views run where their arrays are; factorisations, and what needs one, go through the host,
as each function says.
"""

from tensor.diagonals import diagonal, trace
from tensor.factorisations import (
    cholesky,
    det,
    eigh,
    eigvalsh,
    inv,
    matrix_rank,
    pinv,
    qr,
    slogdet,
    solve,
    svd,
    svdvals,
)
from tensor.manipulation import matrix_transpose
from tensor.matmul import matmul
from tensor.norms import matrix_norm, vector_norm
from tensor.products import cross, matrix_power, outer, tensordot, vecdot

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
