"""The exception tree of the whole project starts here, in its lowest house.

MeshError
├── DeviceError            no such device, arrays on different devices, an array that was released
│   └── OutOfMemoryError   a device cannot hold what was asked for
├── ShapeError             shapes that do not fit together
│   └── BadIndexError      an index out of range, a key that does not fit the shape; an IndexError too
├── DTypeError             a dtype that an operation or a device does not take
│   └── BadIndexTypeError  a key made of something that is no index; an IndexError too
├── MatrixError            a matrix that has no inverse or no factors of the kind that was asked for
├── ArgumentError          an option that a function does not have, such as the name of a norm
├── ExchangeError          memory that cannot be handed over to, or taken from, another library without a copy
├── FileFormatError        a file of arrays that is damaged, cut short, or says what is not so
├── FileWriteError         a file that could not be written; the old one is as it was
├── KernelBuildError       OpenCL C text that does not compile, or is launched with wrong arguments
├── NumberError            a number outside what a function takes
└── RecordError            something that cannot be replayed was done inside record()
"""


class MeshError(Exception):
    """Base class of every error that this project raises on purpose.

    The message is a sentence for the user: what happened, what was seen, what to type next.
    """

    exit_code = 1


class DeviceError(MeshError):
    """No such device, or arrays of different devices in one operation."""

    exit_code = 5


class OutOfMemoryError(DeviceError):
    """A device cannot hold what was asked for."""


class ShapeError(MeshError, ValueError):
    """Shapes do not fit together."""


class BadIndexError(ShapeError, IndexError):
    """An index is out of range, or a key does not fit the shape of the array."""


class DTypeError(MeshError, TypeError):
    """An operation or a device does not take this dtype."""


class BadIndexTypeError(DTypeError, IndexError):
    """Arrays are not indexed with objects of this type."""


class MatrixError(MeshError, ValueError):
    """A matrix has no inverse, or no factors of the kind that was asked for."""


class ArgumentError(MeshError, ValueError):
    """A function has no such option."""


class ExchangeError(MeshError, BufferError, ValueError):
    """Memory cannot be handed over to, or taken from, another library in the way that was asked for."""


class FileFormatError(MeshError, ValueError):
    """A file of arrays is damaged, cut short, holds what arrays cannot, or says what is not so."""


class FileWriteError(MeshError, OSError):
    """A file could not be written; what was there before is as it was."""


class KernelBuildError(MeshError):
    """OpenCL C text does not compile, or was launched with wrong arguments."""


class NumberError(MeshError, ValueError):
    """A number is outside what a function takes."""


class RecordError(MeshError):
    """Something that cannot be replayed was done inside record()."""
