"""The one error tree. The class says which code and status it means and whether a retry helps.

::

    RillError                    internal           500
    ├── BadRequest               bad_request        400
    │   └── BodyTooLarge         bad_request        413
    ├── Unauthorized             unauthorized       401
    ├── Forbidden                forbidden          403
    ├── NotFound                 not_found          404
    ├── MethodNotAllowed         bad_request        405
    ├── Conflict                 conflict           409
    ├── RateLimited              rate_limited       429  retryable
    ├── BudgetExceeded           budget_exceeded    429
    ├── StepTimeout              step_timeout       504  retryable
    ├── DeadlineExceeded         deadline           504  retryable
    └── ModelError               upstream_error     502
        ├── UpstreamError        upstream_error     502  retryable
        ├── ModelTimeout         step_timeout       504  retryable
        ├── ModelOverloaded      model_overloaded   503  retryable
        ├── ModelRefused         model_refused      422
        ├── ModelTruncated       model_truncated    502  retryable
        └── InvalidOutput        invalid_output     502  retryable
            └── SectionError     (rill.sections, with its own tree)

`message` is for the person in front of the page and gives nothing away; `detail` goes to the log.
Standard library only: the runtime, which must start fast, imports this module.
"""

from typing import ClassVar, Literal

Code = Literal[
    "bad_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "conflict",
    "rate_limited",
    "budget_exceeded",
    "model_overloaded",
    "model_refused",
    "model_truncated",
    "invalid_output",
    "step_timeout",
    "deadline",
    "upstream_error",
    "internal",
]


class RillError(Exception):
    """Base of every error Rill raises on purpose.

    Args:
        message: one sentence for the person who waits; the class's own sentence by default.
        detail: what the log should say beside it (never sent to a client).
        retry_after: seconds after which a retry makes sense, where the cause named them.
    """

    code: ClassVar[Code] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "Something went wrong on our side."

    def __init__(
        self, message: str | None = None, *, detail: str | None = None, retry_after: float | None = None
    ) -> None:
        self.message = message if message is not None else self.default_message
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(self.message if detail is None else f"{self.message} ({detail})")


class BadRequest(RillError):
    code = "bad_request"
    status = 400
    default_message = "The request is not valid."


class BodyTooLarge(BadRequest):
    status = 413
    default_message = "The request body is too large."


class MethodNotAllowed(BadRequest):
    status = 405
    default_message = "This address does not take that method."


class Unauthorized(RillError):
    code = "unauthorized"
    status = 401
    default_message = "Sign in first."


class Forbidden(RillError):
    code = "forbidden"
    status = 403
    default_message = "You may not do that."


class NotFound(RillError):
    code = "not_found"
    status = 404
    default_message = "There is nothing here by that name."


class Conflict(RillError):
    code = "conflict"
    status = 409
    default_message = "That does not fit what is there already."


class RateLimited(RillError):
    code = "rate_limited"
    status = 429
    retryable = True
    default_message = "Too many requests; try again in a moment."


class BudgetExceeded(RillError):
    code = "budget_exceeded"
    status = 429
    default_message = "The budget for today is used up."


class StepTimeout(RillError):
    code = "step_timeout"
    status = 504
    retryable = True
    default_message = "A step took too long."


class DeadlineExceeded(RillError):
    code = "deadline"
    status = 504
    retryable = True
    default_message = "The run did not finish in time."


class ModelError(RillError):
    """The model, or the way to it, failed."""

    code: ClassVar[Code] = "upstream_error"
    status = 502
    default_message = "The model could not be used."


class UpstreamError(ModelError):
    retryable = True
    default_message = "The connection to the model failed."


class ModelTimeout(ModelError):
    code = "step_timeout"
    status = 504
    retryable = True
    default_message = "The model took too long to answer."


class ModelOverloaded(ModelError):
    code = "model_overloaded"
    status = 503
    retryable = True
    default_message = "The model is overloaded; try again in a moment."


class ModelRefused(ModelError):
    code = "model_refused"
    status = 422
    default_message = "The model declined to answer this."


class ModelTruncated(ModelError):
    code = "model_truncated"
    retryable = True
    default_message = "The model's answer was cut off."


class InvalidOutput(ModelError):
    code = "invalid_output"
    retryable = True
    default_message = "The model's answer was not in the form we asked for."
