"""The sizes of one convolution, and what may be asked of it."""

from dataclasses import dataclass
from functools import lru_cache

from tensor.errors import ShapeError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Images [N, H, W, C], weights [O, KH, KW, C / groups], results [N, P, Q, O]."""

    N: int
    H: int
    W: int
    C: int
    O: int  # noqa: E741 - the literature's letter for output channels
    KH: int
    KW: int
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def extent(self) -> Pair:
        """Rows and columns from a kernel's first weight to its last one."""
        return (self.KH - 1) * self.dilation[0] + 1, (self.KW - 1) * self.dilation[1] + 1

    @property
    def is_plain(self) -> bool:
        """Whether there are neither groups nor dilation."""
        return self.groups == 1 and self.dilation == (1, 1)

    @property
    def is_depthwise(self) -> bool:
        """Whether each of several channels has a kernel and a result of its own."""
        return 1 < self.groups == self.C == self.O

    @property
    def P(self) -> int:  # noqa: N802 - the literature's letter
        """Height of the result."""
        return (self.H + 2 * self.padding[0] - self.extent[0]) // self.stride[0] + 1

    @property
    def Q(self) -> int:  # noqa: N802 - the literature's letter
        """Width of the result."""
        return (self.W + 2 * self.padding[1] - self.extent[1]) // self.stride[1] + 1

    @property
    def pixels(self) -> int:
        """Pixels of the result, of all images."""
        return self.N * self.P * self.Q

    @property
    def weights(self) -> int:
        """Weights of one output channel."""
        return self.KH * self.KW * (self.C // self.groups)

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.H, self.W, self.C

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.O, self.KH, self.KW, self.C // self.groups

    @property
    def result_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.P, self.Q, self.O


@lru_cache(maxsize=1024)
def geometry(
    where: str,
    image: tuple[int, ...],
    weight: tuple[int, ...],
    *,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Geometry:
    """The geometry of images [N, H, W, C] under weights [O, KH, KW, C / groups]; raises ShapeError."""
    if min(*stride, *dilation, groups, *weight[1:3]) < 1 or min(padding) < 0:
        raise ShapeError(
            f"{where}: stride {stride}, kernel {weight[1:3]}, dilation {dilation} and groups {groups} must "
            f"be at least 1, padding {padding} 0."
        )
    if len(image) != 4 or len(weight) != 4 or image[3] != weight[3] * groups or weight[0] % groups:
        of_groups = f" of {groups} groups" if groups > 1 else ""
        raise ShapeError(
            f"{where}: images {image} and weights {weight}{of_groups} do not fit; expected [N, H, W, C] and "
            f"[O, KH, KW, C{' / groups], C and O multiples of groups' if groups > 1 else ']'}."
        )
    sizes = Geometry(*image, weight[0], weight[1], weight[2], stride, padding, dilation, groups)
    if sizes.P < 1 or sizes.Q < 1:
        raise ShapeError(
            f"{where}: a kernel of {sizes.extent[0]}×{sizes.extent[1]} does not fit in images of "
            f"{image[1]}×{image[2]} with padding {padding}."
        )
    return sizes
