"""The pair that the app begins with."""

from __future__ import annotations

import functools
import logging
from typing import get_args

from core import settings
from core.errors import BadInput
from core.fetching.shipped import read_pair_name
from core.models.pair import DEMO_PAIR
from core.values import PairSpec, Precision

log = logging.getLogger("retrace")


def first_pair() -> PairSpec:
    """The pair RETRACE_PAIR names (RETRACE_PRECISION, RETRACE_DEVICE apply), else the embedded."""
    return _pair_read(settings.first_pair(), settings.first_precision(), settings.first_device())


@functools.lru_cache(maxsize=4)
def _pair_read(named: str, asked: str, device: str) -> PairSpec:
    """What cannot be read is told to the log, once."""
    if not named:
        return DEMO_PAIR
    known: tuple[Precision, ...] = get_args(Precision)
    if asked not in known:
        log.warning(settings.PRECISION + " is not one of %s; bf16 is used", known)
    precision: Precision = next((one for one in known if one == asked), "bf16")
    try:
        return read_pair_name(named, precision=precision, device=device)
    except BadInput as error:
        log.warning(settings.PAIR + " is not used, the embedded pair is: %s", error)
        return DEMO_PAIR
