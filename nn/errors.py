"""What can go wrong in `nn`, as one tree under `tensor.errors.MeshError`.

MeshError
├── NetworkError          a network or layer is used in a way that it cannot work
│   ├── NotInitializedError   (also an AttributeError, so that hasattr() works)
│   └── DefinitionError       a JSON definition cannot be read or written
├── LayerShapeError       an input does not fit a layer (also a tensor.errors.ShapeError)
├── GradientError         a gradient cannot be taken, or is wrong
├── DataError             a data set is missing or damaged; exit code 5
└── SaveError             a saved file is missing or damaged; exit code 5
"""

from tensor.errors import MeshError, ShapeError


class NetworkError(MeshError):
    """A network or layer is used in a way that it cannot work."""


class NotInitializedError(NetworkError, AttributeError):
    """A layer is asked for its parameters before `network.initialize()` has made them."""


class DefinitionError(NetworkError):
    """A JSON definition names a layer that does not exist, or parameters that do not fit it."""


class LayerShapeError(ShapeError):
    """An input's shape does not fit the layer that it was given to."""


class GradientError(MeshError):
    """A gradient cannot be taken, or differs from its finite differences."""


class DataError(MeshError):
    """A data set is unknown, missing or damaged."""

    exit_code = 5


class SaveError(MeshError):
    """A saved network is missing or damaged."""

    exit_code = 5
