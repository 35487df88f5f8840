"""The values of an experiment: a plan, the arms it compares, and what came out. No torch, no disk.

A plan is chosen on one half of its questions and reported on the other. What came out holds counts per question and
no rates: rates, intervals and verdicts follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.directions.direction import Direction
from core.errors import BadInput
from core.extraction.values import Negatives, Weighting
from core.forward.edits import Operator
from core.models.pair import Role
from core.runs.cells import Counted
from core.runs.questions import Example
from core.text.words import KEYWORDS
from core.tokens.frames import ChatFrame
from core.traces.events import BACKTRACKING
from core.values import PAPER_WINDOW, PairSpec, Positions, SamplingSpec, Window

Figure = Literal["fig2", "fig3", "fig4", "fig5", "fig6", "figB1", "figC1", "map"]
"""Figures and tables of the paper, by their numbers there; "map" is Fig. 2 at every layer, which the paper lacks."""
Half = Literal["choose", "report"]
"""The half of the questions that chooses layer, window and dose, or the one that is reported."""
Unit = Literal["auto", "unit", "share"]
"""Of doses: fractions of the place's edge (`Edge`), multiples of a unit vector, or shares of the residual norm."""
Kind = Literal["unsteered", "direction", "random", "label", "shuffled", "mean", "flip", "self", "without", "position"]
"""What is added: nothing, the direction under test, or a control. "without" is the direction less its nearest label,
"position" the direction against the same window before other parts: these two are variants of it, not rivals."""
Match = Literal["norm", "coherence"]
"""What a control shares with the direction under test at its dose: the norm, or how much less likely the text is."""

EDGE_NLL = 0.5
"""By how many nats per token the unsteered model finds a text less likely at the edge of what is readable."""
RIVALS: tuple[Kind, ...] = ("random", "label", "shuffled", "mean", "flip", "self")
"""Controls that should do less than the direction."""
VARIANTS: tuple[Kind, ...] = ("without", "position")
CONTROLS: tuple[Kind, ...] = (*RIVALS, *VARIANTS)
OF_LABELS: tuple[Kind, ...] = ("label", "without", "position")
"""Controls that need other labels in the traces."""


@dataclass(frozen=True, kw_only=True)
class TraceSource:
    """The labelled traces of a plan: a saved set by its id, a file by its path, none for saved directions."""

    kind: Literal["embedded", "set", "file", "none"]
    name: str = ""
    digest: str = ""
    """`digest_of` the traces; "" takes whatever is there."""


@dataclass(frozen=True, kw_only=True)
class Doses:
    """The doses of every curve, 0 not counted; those beyond the edge show where the effect turns down again."""

    unit: Unit = "auto"
    values: tuple[float, ...] = (0.4, 0.7, 0.85, 0.95, 1.25, 2.0)

    def __post_init__(self) -> None:
        if not any(self.values):
            raise BadInput("The plan has no dose but 0.", "Name at least one dose that is not 0.")


@dataclass(frozen=True, kw_only=True)
class ControlPlan:
    """How many controls of which kinds."""

    random: int = 20
    matched: int = 20
    """Random directions with the norm of the direction, and how many of them once more with its coherence."""
    curves: int = 3
    """How many of them are measured at every dose, and all other kinds too; with 0, at the chosen dose alone."""
    kinds: tuple[Kind, ...] = CONTROLS
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.random <= 200 and 0 <= self.curves <= self.random and 0 <= self.matched <= self.random):
            raise BadInput(
                f"{self.random} random controls, {self.curves} at every dose and {self.matched} matched, do not fit.",
                "Ask for 0 to 200, and for no more curves or matched ones than that.",
            )


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What a plan does not choose; None is chosen on the choosing half."""

    layer: int | None = None
    window: Window | None = None
    dose: float | None = None
    """In the unit of the plan's doses."""


@dataclass(frozen=True, kw_only=True)
class SavedPair:
    """Directions that a plan takes instead of extracting them: ids of saved ones, by the model they were found in."""

    base: str
    reasoner: str = ""
    """"" leaves that source out."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that an experiment depends on but its title, and also a readable file (`core.experiments.plans`)."""

    title: str = ""
    pair: PairSpec
    fingerprints: tuple[str, str] = ("", "")
    """(base, reasoner); "" takes whatever is loaded."""
    figures: tuple[Figure, ...] = ("fig3", "fig4")
    traces: TraceSource
    saved: SavedPair | None = None
    """Saved directions, or None for those extracted from the traces."""
    label: str = BACKTRACKING
    negatives: Negatives = "all"
    weighting: Weighting = "trace"
    windows: tuple[Window, ...] = (PAPER_WINDOW,)
    """What Fig. 2 compares and the window is chosen of; the first is where the layers are compared first."""
    layers: tuple[int, ...]
    """What Fig. B.1 compares and the layer is chosen of."""
    fixed: Fixed = field(default_factory=Fixed)
    choose: tuple[Example, ...]
    report: tuple[Example, ...]
    doses: Doses = field(default_factory=Doses)
    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    """The seed of question i of a half is `seed + i`, the same in every arm: runs are paired by question and seed."""
    keywords: tuple[str, ...] = KEYWORDS
    counted: Counted = "thinking"
    positions: Positions = field(default_factory=Positions)
    frame: ChatFrame | None = None
    """The text around every question, where it is not the reasoning model's own."""
    controls: ControlPlan = field(default_factory=ControlPlan)
    block: int = 32
    """Questions of a cell: what is run in one batch, kept as one, and lost at most."""

    def questions(self, half: Half) -> tuple[Example, ...]:
        """The questions of a half."""
        return self.choose if half == "choose" else self.report


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A model and what is done to its residual stream."""

    target: Role
    kind: Kind
    name: str
    """In words, the same in every figure: "base-derived", "random 3"."""
    source: Role | None = None
    """The model in which the direction was found, if any."""
    direction: Direction | None = None
    layer: int = 0
    window: Window | None = None
    operator: Operator = "add"
    match: Match = "norm"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One arm at one dose on one half: the numbers of its cells, question by question."""

    target: Role
    kind: Kind
    name: str
    source: Role | None
    layer: int
    window: Window | None
    match: Match
    half: Half
    coefficient: float
    """Multiples of a unit vector."""
    resid_norm: float
    """Mean norm of the reasoning model's residual stream at the layer; 0: not known."""
    raw_norm: float
    """Norm of the raw difference of means; 0: none."""
    hits: tuple[int, ...]
    words: tuple[int, ...]
    """(n,) keywords, and words."""
    repetition: tuple[float, ...]
    nll: tuple[float | None, ...]
    """(n,) share of repeated 4-grams, and nats per token under the unsteered model, None for an empty completion."""
    no_evidence: int
    """How many completions say nothing."""
    right: int = 0
    n_known: int = 0
    """Right answers, and questions with a known answer."""
    back: int = 0
    remarks: int = 0
    """Hits whose sentence goes back to the task, and whose sentence remarks on the text itself (`core.text.turns`)."""
    cosine: float | None = None
    """Cosine with the direction under test."""
    cells: tuple[str, ...] = ()
    """Keys of the cells in the store, which hold the texts."""

    @property
    def n(self) -> int:
        return len(self.hits)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the choosing half chose, for the reported one."""

    layer: int
    window: Window | None
    coefficient: float
    readable: bool
    """Whether any dose was readable there; else the smallest was taken."""
    n_compared: int
    """How many places and doses it was the best of."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The dose at which the base-derived direction makes the text EDGE_NLL less likely; else the last one tried."""

    layer: int
    window: Window | None
    coefficient: float
    found: bool


@dataclass(frozen=True, kw_only=True)
class LensRow:
    """Fig. 5: a direction read through an unembedding (paper, Eq. 2)."""

    source: Role
    head: Role
    layer: int
    score: float
    rank: int
    """Of the best item with one of the words, 1 = first."""


@dataclass(frozen=True, kw_only=True)
class LeadRow:
    """Fig. 6: how well the centred projection `lead` tokens ahead tells an event from other parts."""

    source: Role
    lead: int
    auc: float
    low: float | None
    high: float | None
    """95% interval over traces."""
    n_events: int
    n_others: int


@dataclass(frozen=True, kw_only=True)
class LeadTrace:
    """Fig. 6: the centred projection along one trace, and the indices of the tokens that begin an event."""

    source: Role
    trace_id: str
    projection: tuple[float, ...]
    pieces: tuple[str, ...]
    events: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """Table C.1: keywords against a reference labelling of the completions, by sentence, at one dose."""

    coefficient: float
    labeller: str
    n_texts: int
    both: int
    """Sentences with a keyword that the reference labels as the event; beside those that only one of them marks."""
    keyword_only: int
    reference_only: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out of a plan so far."""

    plan: Plan
    fingerprints: tuple[str, str] = ("", "")
    done: int = 0
    total: int = 0
    """Points (arms × doses) that were measured, and that the plan takes in all, as far as can be told."""
    finished: bool = False
    edges: tuple[Edge, ...] = ()
    choice: Choice | None = None
    chosen_from: tuple[Point, ...] = ()
    reported: tuple[Point, ...] = ()
    """Points of the choosing half (Fig. 2 and B.1) and of the reported one (Fig. 3 and 4)."""
    lens: tuple[LensRow, ...] = ()
    leads: tuple[LeadRow, ...] = ()
    lead_traces: tuple[LeadTrace, ...] = ()
    labels: tuple[LabelRow, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be made and why, a sentence each."""
    provenance: tuple[tuple[str, str], ...] = ()
    """Versions, device, dates: shown, and part of no number."""
