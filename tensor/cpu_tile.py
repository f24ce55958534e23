"""The register tiles of products and convolutions on CPUs (kernels/cpu_tile.h), and which one suits."""

from dataclasses import dataclass

from tensor import cpu_vectors
from tensor.device import Device


@dataclass(frozen=True)
class Tile:
    """A tile of cpu_tile.h: `rows` of `vectors` of `lanes`."""

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        """Elements of a row."""
        return self.vectors * self.lanes

    def cost(self, columns: int) -> float:
        """Of a matrix with so many columns: vectors, more where each product needs a load (docs/log.md)."""
        return -(-columns // self.columns) * self.vectors * (1.15 if self.vectors == 1 else 1.0)

    @property
    def defines(self) -> dict[str, int]:
        """What cpu_tile.h is compiled with: nothing for its defaults, so that a program has one key."""
        vectors = {} if self.vectors == 2 else {"TILE_VECTORS": self.vectors}
        return {**vectors, **cpu_vectors.defines(self.lanes)}


TILE, THIN_TILE = Tile(6, 2, cpu_vectors.LANES), Tile(4, 3, cpu_vectors.LANES)
WIDE_TILE, NARROW_WIDE_TILE = Tile(12, 2, cpu_vectors.WIDE_LANES), Tile(12, 1, cpu_vectors.WIDE_LANES)


def tile_for(device: Device, columns: int, of_avx2: tuple[Tile, ...] = (TILE,)) -> Tile:
    """The cheapest for so many columns: of AVX-512's tiles if the compiler uses it, else of these."""
    has_wide = cpu_vectors.lanes(device) == cpu_vectors.WIDE_LANES
    return min((WIDE_TILE, NARROW_WIDE_TILE) if has_wide else of_avx2, key=lambda tile: tile.cost(columns))
