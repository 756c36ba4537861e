"""Every error that tiersplit raises on purpose, in one tree.

The command line turns the branch into its exit code: `InputError` 2, `InfeasibleError` 3, any other `TiersplitError` 1.
"""


class TiersplitError(Exception):
    """Root of all errors that tiersplit raises on purpose."""


class InputError(TiersplitError):
    """What was given is wrong: a manifest, problem, graph, bundle, frame or request.

    Attributes:
        path: where the mistake stands, such as `graph.layers[3].inputs[0]`; empty where there is no place to name.
        reason: what is wrong and what to write instead.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class ProblemError(InputError):
    """A planning problem (design §4.1) is malformed; `path` is the JSON path of the mistake."""


class GraphError(InputError):
    """A layer graph is malformed, or a set of layers is no legal cut of it."""


class ProfileError(InputError):
    """A profile is malformed or does not belong to the graph it is used with."""


class StatisticsError(InputError):
    """Calibration statistics are malformed, of another graph, or lack a bit width that is asked for."""


class ManifestError(InputError):
    """A SplitDeployment manifest is malformed; `path` is the field."""


class BundleError(InputError):
    """A bundle is damaged, incomplete or of a foreign kind; `path` names the blob or file."""


class ModelError(InputError):
    """A model source cannot be loaded, exported or cut."""


class FrameError(InputError):
    """Bytes from a peer are not a frame of `tiersplit.wire.v1`."""


class RequestError(InputError):
    """A client's request does not fit the model; becomes INVALID_ARGUMENT."""


class InfeasibleError(TiersplitError):
    """No plan satisfies the constraints.

    Attributes:
        constraint: the constraint that fails and by how much, in words.
    """

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class OperationError(TiersplitError):
    """Something that should have worked did not: a process died, a file could not be written, a peer is gone."""


class OutOfMemoryError(OperationError):
    """A process took more memory than it may have, and was ended or gave up."""


class UnavailableError(OperationError):
    """No path that can serve the request exists at the moment; becomes UNAVAILABLE."""


class ExhaustedError(OperationError):
    """A bounded queue is full; becomes RESOURCE_EXHAUSTED."""


class ConflictError(OperationError):
    """Someone else changed or made the object meanwhile: read it again, then decide again."""


class DeadlineError(OperationError):
    """The time that the caller gave is over; becomes DEADLINE_EXCEEDED."""
