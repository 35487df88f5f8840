"""What a plan reads without steering, once the rest is measured: Fig. 5, Fig. 6 and Table C.1."""

from __future__ import annotations

from dataclasses import dataclass

from core.experiments.values import LabelRow, LeadRow, LeadTrace, LensRow


@dataclass(frozen=True, kw_only=True)
class Appendix:
    """The rows of these figures."""

    lens: tuple[LensRow, ...] = ()
    leads: tuple[LeadRow, ...] = ()
    lead_traces: tuple[LeadTrace, ...] = ()
    labels: tuple[LabelRow, ...] = ()
