"""Errors that are meant for the person at the screen.

A `UserFacingError` says what was wrong and where, and what to do about it. Every other exception is a bug of ours: it
goes to the log, and the page shows one neutral sentence.
"""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class UserFacingError(Exception):
    """A fault the user can act on: `problem` is one sentence with its cause, `remedy` one with the next step."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy


class ModelUnavailable(UserFacingError):
    """The model is not there, gated, of an unsupported kind, or does not fit."""


def not_loaded(name: str) -> ModelUnavailable:
    """The error of work whose model has left the memory."""
    return ModelUnavailable(f"{name} is not loaded any more.", "Load its pair in the sidebar, then run again.")


class OutOfMemory(UserFacingError):
    """The device ran out of memory; the model is still loaded and clean."""


class BadDirection(UserFacingError):
    """A vector that must not be added to a residual stream: wrong shape, not finite, or of another model."""


class BadInput(UserFacingError):
    """A prompt, window, position, file or number that cannot be used as given."""


class Busy(UserFacingError):
    """The engine's queue is full."""


class NotAllowed(UserFacingError):
    """Something that only the speaker may do on a shared server."""


class JudgeUnavailable(UserFacingError):
    """The endpoint that labels sentences refuses, is not set up, or does not answer."""


def as_user_facing(error: BaseException) -> UserFacingError:
    """The sentence for an unexpected exception; its stack trace goes to the log. Memory faults get their own."""
    log.error("a job failed", exc_info=error)
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return UserFacingError(
            "The device ran out of memory.",
            "Use fewer rows, a shorter text, or a smaller precision; the model is intact.",
        )
    return UserFacingError(
        "Something went wrong inside Retrace.", "The log has the details; your saved directions and runs are untouched."
    )
