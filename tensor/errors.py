"""The exception tree of the whole project starts here, in its lowest house."""


class MeshError(Exception):
    """Base class of every error that this project raises on purpose.

    The message is a sentence for the user: what happened, what was seen, what to type next.
    """

    exit_code = 1
