"""What can go wrong in a mesh, as sentences for the user.

MeshError (tensor.errors)            exit code 1
├── JobFailedError                   1   the job itself failed: a loss that is not finite, missing data
├── RunFolderError                   1   the folder of a run cannot be written
├── UsageError                       2   a wrong argument, an unknown job, a port in use
├── UnreachableError                 3   no peer answers at the address
├── RefusedError                     4   a peer answers and says no: version, layer file, too many peers
├── ProtocolError                    4   a peer broke the protocol: cut, foreign or oversized messages
└── CodecError (mesh.codec)          1   a payload that does not decode, a value that may not be encoded
"""

from tensor.errors import MeshError


class JobFailedError(MeshError):
    """The job itself failed; with the exit code of what made it fail."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class RunFolderError(MeshError):
    """The folder of a run cannot be written: a full disk, missing rights."""


class UsageError(MeshError):
    """What was asked for does not exist or does not fit."""

    exit_code = 2


class UnreachableError(MeshError):
    """No peer answers at the address."""

    exit_code = 3


class RefusedError(MeshError):
    """A peer answers and does not let this one in."""

    exit_code = 4


class ProtocolError(MeshError):
    """A message that no peer of this version sends."""

    exit_code = 4
