"""The sizes of one convolution, and what may be asked of it."""

from dataclasses import dataclass
from functools import lru_cache

from tensor.errors import ShapeError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Images [N, H, W, C], weights [O, KH, KW, C], results [N, P, Q, O]."""

    N: int
    H: int
    W: int
    C: int
    O: int  # noqa: E741 - the literature's letter for output channels
    KH: int
    KW: int
    stride: Pair
    padding: Pair

    @property
    def P(self) -> int:  # noqa: N802 - the literature's letter
        """Height of the result."""
        return (self.H + 2 * self.padding[0] - self.KH) // self.stride[0] + 1

    @property
    def Q(self) -> int:  # noqa: N802 - the literature's letter
        """Width of the result."""
        return (self.W + 2 * self.padding[1] - self.KW) // self.stride[1] + 1

    @property
    def pixels(self) -> int:
        """Pixels of the result, of all images."""
        return self.N * self.P * self.Q

    @property
    def weights(self) -> int:
        """Weights of one output channel."""
        return self.KH * self.KW * self.C

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.H, self.W, self.C

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.O, self.KH, self.KW, self.C

    @property
    def result_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.P, self.Q, self.O


@lru_cache(maxsize=1024)
def geometry(
    where: str, image: tuple[int, ...], weight: tuple[int, ...], stride: Pair, padding: Pair
) -> Geometry:
    """The geometry of images [N, H, W, C] under weights [O, KH, KW, C]; raises ShapeError."""
    if len(image) != 4 or len(weight) != 4 or image[3] != weight[3]:
        raise ShapeError(
            f"{where}: images {image} and weights {weight} do not fit; expected [N, H, W, C] and "
            "[O, KH, KW, C]."
        )
    if min(stride) < 1 or min(padding) < 0 or min(weight[1:3]) < 1:
        raise ShapeError(
            f"{where}: stride {stride} and kernel {weight[1:3]} must be at least 1, padding {padding} 0."
        )
    sizes = Geometry(*image, weight[0], weight[1], weight[2], stride, padding)
    if sizes.P < 1 or sizes.Q < 1:
        raise ShapeError(
            f"{where}: a kernel of {weight[1]}×{weight[2]} does not fit in images of "
            f"{image[1]}×{image[2]} with padding {padding}."
        )
    return sizes
