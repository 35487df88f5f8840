"""Which traces are read by one forward: one on the CPU, as many as fit in some tokens on a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from core.errors import BadInput
from core.extraction.moments import MomentsSpec
from core.extraction.selection import Selection, select
from core.models.loaded import LoadedModel
from core.tokens.encoding import Reading
from core.values import Part, Trace

PACKED_TOKENS = 4096
"""Tokens, padding included, of the traces that a card reads together: one alone leaves it waiting for the host."""

HELD_BYTES = 2**28
"""Of the layers whose streams wait to be added together on a card; on the CPU each is added as it comes."""


@dataclass(frozen=True)
class Member:
    """A trace that is read together with others."""

    fold: int
    reading: Reading
    selection: Selection


def tokens_at_once(device: torch.device) -> int:
    """How many tokens are read together; 0 for one trace at a time."""
    return PACKED_TOKENS if device.type == "cuda" else 0


def next_pack(
    loaded: LoadedModel,
    traces: Sequence[Trace],
    extra: Sequence[Sequence[Part]],
    spec: MomentsSpec,
    *,
    begin: int,
    skipped: list[str],
) -> tuple[list[Member], int]:
    """The traces from `begin` on that the next forward reads, and the number of the first one after them.

    `extra` are the parts at random places of each trace. What cannot be read is noted in `skipped`.
    """
    most = tokens_at_once(loaded.device)
    pack: list[Member] = []
    for number in range(begin, len(traces)):
        trace = traces[number]
        try:
            reading = loaded.encoder.reading(spec.frame or loaded.frame, trace.prompt, trace.text)
        except BadInput as error:
            skipped.append(f"{trace.trace_id}: {error.problem}")
        else:
            longest = max(len(member.token_ids) for member in (reading, *(m.reading for m in pack)))
            if pack and longest * (len(pack) + 1) > most:
                return pack, number
            pack.append(Member(number % spec.folds, reading, select(trace, extra[number], reading, spec)))
        if most == 0:
            return pack, number + 1
    return pack, len(traces)


def padded(pack: Sequence[Member]) -> torch.Tensor:
    """(traces, seq) their token ids; shorter ones are followed by zeros."""
    rows = [torch.tensor(member.reading.token_ids) for member in pack]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
