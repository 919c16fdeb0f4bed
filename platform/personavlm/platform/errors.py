"""Errors of the platform, named for the boundary that was crossed.

PlatformError
├── CommandError        a command cannot be carried out; what it says is all that the user is shown
├── RequestError        the client sent something that cannot be done; says field and remedy
├── WeightsError        a model's weights are absent or not the ones pinned
└── EngineError         a language model failed
    ├── EngineTimeout   it took longer than its deadline
    ├── EngineUnavailable   it could not be reached; trying again later may help
    ├── ContextOverflow the conversation is longer than the model's context
    └── CheckpointError a checkpoint or adapter cannot be used; says what is missing
"""


class PlatformError(Exception):
    """Base of everything that the platform raises on purpose."""


class CommandError(PlatformError):
    """A command cannot be carried out, for a reason that its user can do something about."""


class RequestError(PlatformError):
    """A request that cannot be served as it is.

    ``status`` is the HTTP status, ``param`` the field at fault, ``code`` a stable machine-readable word.
    ``retry_after_s`` says after how many seconds the same request may succeed, where the status allows it.
    """

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str, retry_after_s: int = 1
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.param, self.code = message, status, param, code
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        """Keyword arguments survive pickling, so that the error crosses processes whole."""
        return (_rebuild, (self.message, self.status, self.param, self.code, self.retry_after_s))


def _rebuild(message: str, status: int, param: str | None, code: str, retry_after_s: int) -> RequestError:
    return RequestError(message, status=status, param=param, code=code, retry_after_s=retry_after_s)


class WeightsError(PlatformError):
    """A model's weights are not installed, or their checksum is not the one pinned."""


class EngineError(PlatformError):
    """A language model failed in a way that is not the client's fault.

    Its text is logged: it names servers and settings, and never quotes a prompt or an answer.
    """


class EngineTimeout(EngineError):
    """The engine did not finish within its deadline."""


class EngineUnavailable(EngineError):
    """The engine could not be reached, or refused for lack of capacity."""


class ContextOverflow(EngineError):
    """The conversation and the shortest useful reply are ``excess`` tokens longer than the context."""

    def __init__(self, message: str, excess: int = 0) -> None:
        super().__init__(message)
        self.excess = excess


class CheckpointError(EngineError):
    """A checkpoint or an adapter cannot be used; the message says what is missing and what helps."""
