"""The commands: their help, and how each may end.

Ends with 0 when all is done, 2 for bad input, 130 when it was stopped, 1 for anything else.
"""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

from core import settings
from core.disk.files import private_folder
from core.errors import BadDirection, BadInput, ModelUnavailable, UserFacingError
from retrace.console import Console, ReaderGone, prepare
from retrace.parser import make_parser
from retrace.session import Stop, Stopped

DONE, OTHER, BAD_INPUT, STOPPED = 0, 1, 2, 130
LOG_FILE, LOG_BYTES = "retrace.log", 1 << 20

log = logging.getLogger("retrace")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Raises SystemExit for --help and for flags that are none."""
    prepare()
    args = make_parser().parse_args(argv)
    if getattr(args, "one_at_a_time", False):
        os.environ[settings.ONE_AT_A_TIME] = "1"
    console, stop = Console(), Stop()
    command: Callable[[Namespace, Console, Stop], None] = args.run
    try:
        with stop.listening():
            _log_to(args.cache, verbose=args.verbose)
            command(args, console, stop)
    except ReaderGone:
        return DONE
    except (Stopped, KeyboardInterrupt):
        return STOPPED
    except UserFacingError as error:
        console.say(f"{error.problem} {error.remedy}")
        return BAD_INPUT if isinstance(error, BadInput | BadDirection | ModelUnavailable) else OTHER
    except Exception as error:
        log.exception("the command failed")
        console.say(
            f"Something went wrong inside Retrace ({type(error).__name__}). {args.cache / LOG_FILE} has the details; "
            "what was measured is kept."
        )
        return OTHER
    return DONE


def _log_to(cache: Path, *, verbose: bool) -> None:
    """Warnings and errors go to a file of the cache folder, made when there are any; with --verbose to stderr too.

    So does how long models took that changed places on a card.
    """
    logging.captureWarnings(True)
    logging.getLogger("core.memory").setLevel(logging.INFO)
    root = logging.getLogger()
    root.handlers.clear()
    root.addHandler(logging.StreamHandler() if verbose else logging.NullHandler())
    try:
        private_folder(cache)
        root.addHandler(RotatingFileHandler(cache / LOG_FILE, maxBytes=LOG_BYTES, backupCount=1, delay=True))
    except OSError as error:
        raise BadInput(
            f"The cache folder {str(cache)!r} cannot be used: {error.strerror}.", "Name another one with --cache."
        ) from error
    for handler in root.handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
