"""A job: all that a peer must know to take part, as plain data, frozen and hashed."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import nn
from mesh import codec
from mesh.errors import ProtocolError, UsageError
from nn.mixed_precision import Precision, require_precision

MOST_STEPS = 1 << 40
LENGTH = 64  # of a text's samples, unless a job says otherwise


@dataclass(frozen=True)
class Job:
    """One training run, the same for every peer.

    `network` is an `nn.Sequential` or its definition (a list of dicts), `optimizer` an `nn.Optimizer` or its
    definition. `data` names a data set, or a text, whose samples have `length` characters; `batch` is the
    number of samples of one step over all peers;
    `evaluate_every` steps the test samples are measured (0: at the end of every epoch). `precision`
    "bfloat16" or "float16": gradients are computed in mixed precision (see `nn.mixed_precision`). `uses`
    names the files with layers of one's own, with the SHA-256 of each. Raises UsageError where a value makes
    no sense, and nn's errors where a network is none.
    """

    network: Any
    data: str
    optimizer: Any = field(default_factory=lambda: nn.SGD(lr=0.05, momentum=0.9))
    batch: int = 120
    steps: int = 1000
    seed: int = 0
    codec: str = "dettmers8"
    block: int = 256
    evaluate_every: int = 0
    precision: Precision = "float32"
    uses: tuple[tuple[str, str], ...] = ()
    length: int = LENGTH

    def __post_init__(self) -> None:
        if isinstance(self.network, nn.Layer):
            object.__setattr__(self, "network", nn.to_definition(self.network))
        if isinstance(self.optimizer, nn.Optimizer):
            object.__setattr__(self, "optimizer", self.optimizer.definition())
        _require(self.batch >= 1, f"a batch of {self.batch} samples: give 1 or more with --batch")
        _require(1 <= self.steps <= MOST_STEPS, f"{self.steps} steps: give 1 or more with --steps")
        _require(
            0 <= self.seed < 1 << 32, f"the seed {self.seed}: give a number from 0 to 2^32 − 1 with --seed"
        )
        _require(self.length >= 1, f"samples of {self.length} characters: give 1 or more with --length")
        _require(self.evaluate_every >= 0, f"evaluate_every is {self.evaluate_every}: give 0 or more")
        codec.by_name(self.codec, self.block)
        nn.load_optimizer(self.optimizer)
        require_precision(self.precision)

    @property
    def digest(self) -> str:
        """SHA-256 over everything in the job, in hexadecimal: peers of one job agree on it."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The job as plain data for the wire."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> "Job":
        """The job that `to_dict` wrote; ProtocolError where that cannot be."""
        try:
            uses = tuple((str(name), str(digest)) for name, digest in facts.get("uses", ()))
            return cls(**{**facts, "uses": uses})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"the peer's job is not one of this version: {error}") from error


def digest_of(facts: dict[str, Any]) -> str:
    """The digest of a job as plain data; ProtocolError where a peer's is not plain."""
    try:
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"the peer's job is not plain data: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)
