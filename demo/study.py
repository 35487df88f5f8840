"""One pair under study, through the app's own workbench: its prompts, the sums over its traces, and cells to fill.

What was measured is kept in the workbench's store, so that a study that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.directions.direction import Direction
from core.extraction.contrast import contrast
from core.extraction.moments import Moments, MomentsSpec
from core.extraction.values import DirectionSet
from core.models.pair import DEMO_PAIR, Role
from core.runs.cells import DoseCell, DoseCellSpec
from core.statistics import Interval, bootstrap_sums
from core.text.words import KEYWORDS
from core.traces.events import BACKTRACKING, LABELS, digest_of
from core.traces.records import read_traces
from core.values import PAPER_WINDOW, ModelSpec, PairSpec, Prompt, SamplingSpec, Trace, Window
from core.workbench import Workbench

HERE = Path(__file__).parent
WINDOWS = (
    Window(start=-25, stop=-19),
    Window(start=-19, stop=-13),
    PAPER_WINDOW,
    Window(start=-7, stop=-1),
    Window(start=-1, stop=5),
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured: prompts to choose, to report, for controls and for accuracy; tokens; controls; doses."""

    choose: int = 40
    report: int = 208
    controls: int = 104
    accuracy: int = 512
    steered_tokens: int = 192
    whole_tokens: int = 448
    random_controls: int = 20
    shuffles: int = 3
    shares: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    """Doses of the 2×2, besides the chosen one."""
    swept: tuple[Role, ...] = ("base", "reasoner")
    """Whose directions are swept over layers and windows."""
    places: int = 3
    """How many of the best places are looked at with more doses, and again at the paper's window."""


OTHER_SEEDS = Sizes(accuracy=256, random_controls=5, shuffles=1, shares=(), swept=("base",), places=2)
"""What is measured of the pairs that only show whether the embedded one is a lucky run."""


class Study:
    """The pair of one training seed, loaded in a workbench."""

    def __init__(self, bench: Workbench, seed: int, sizes: Sizes) -> None:
        """Load the pair of the seed and read its traces."""
        self.bench, self.seed, self.sizes = bench, seed, sizes
        self.folder = HERE if seed == 0 else HERE / "seeds" / str(seed)
        self.wait(bench.load_pair(pair_of(seed)))
        self.traces = read_traces(self.folder / "traces.jsonl").traces
        self.heldout: list[dict[str, str]] = json.loads((HERE / "prompts.json").read_text("utf-8"))["heldout"]
        self._moments: dict[Role, Moments] = {}

    @property
    def layers(self) -> tuple[int, ...]:
        """All layers of the pair."""
        return tuple(range(self.bench.pair.facts("reasoner").n_layers))

    def wait(self, job_id: str) -> Any:
        """The result of a job; ends the program with its sentence when it failed."""
        snapshot = self.bench.engine.wait(job_id)
        if snapshot.state != "done":
            raise SystemExit(f"{snapshot.title}: {snapshot.error or snapshot.state}")
        return snapshot.result

    def gather(
        self, role: Role, traces: Sequence[Trace], *, labels: tuple[str, ...], windows: tuple[Window, ...]
    ) -> Moments:
        """Sums of one pass of a model over traces, all layers."""
        facts = self.bench.pair.facts(role)
        spec = MomentsSpec(
            model=facts.spec,
            fingerprint=facts.fingerprint,
            traces_digest=digest_of(traces),
            labels=labels,
            windows=windows,
            layers=self.layers,
        )
        self.wait(self.bench.record_moments([spec], traces))
        found = self.bench.moments.get(spec)
        assert found is not None, "the pass left no sums"
        return found

    def moments(self, role: Role) -> Moments:
        """Sums for every label × window over the pair's own traces."""
        if role not in self._moments:
            present = {part.label for trace in self.traces for part in trace.parts}
            labels = tuple(label for label in LABELS if label in present)
            self._moments[role] = self.gather(role, self.traces, labels=labels, windows=WINDOWS)
        return self._moments[role]

    def directions(self, role: Role) -> DirectionSet:
        """The backtracking directions of every layer × window (Eq. 3)."""
        return contrast(self.moments(role), BACKTRACKING)

    def direction(self, role: Role, layer: int, window: Window) -> Direction:
        """One of them, named after its model."""
        return replace(self.directions(role).at(layer, window), name=f"backtracking, from the {role} model")

    def dose(self, share: float, layer: int) -> float:
        """A share of the mean residual norm of the reasoning model at a layer, in multiples of a unit vector."""
        return round(share * float(self.moments("reasoner").norms[layer]), 3)

    def questions(self, which: str) -> list[dict[str, str]]:
        """Held-out problems: the first ones choose, the last ones are reported; they do not meet."""
        size: int = getattr(self.sizes, which)
        return self.heldout[:size] if which == "choose" else self.heldout[-size:]

    def cell(
        self,
        role: Role,
        direction: Direction | None,
        coefficient: float,
        *,
        which: str,
        **changes: Any,
    ) -> DoseCellSpec:
        """The spec of one cell; no direction, or coefficient 0, is the baseline."""
        facts = self.bench.pair.facts(role)
        steered = direction is not None and coefficient != 0
        spec = DoseCellSpec(
            model=facts.spec,
            fingerprint=facts.fingerprint,
            direction=direction if steered else None,
            layer=direction.layer if direction is not None and steered else 0,
            coefficient=coefficient if steered else 0.0,
            prompts=tuple(self.bench.pair.encode(role, question["prompt"]) for question in self.questions(which)),
            sampling=SamplingSpec(max_new_tokens=self.sizes.steered_tokens, temperature=0.7),
            keywords=KEYWORDS,
        )
        return replace(spec, **changes)

    def run(self, specs: Iterable[DoseCellSpec]) -> list[DoseCell]:
        """The cells of the specs, each measured once."""
        specs = list(specs)
        different = list(dict.fromkeys(specs))
        cells = dict(zip(different, self.wait(self.bench.run_cells(different)), strict=True))
        return [cells[spec] for spec in specs]


def pair_of(seed: int) -> PairSpec:
    """Where the pair of a training seed lies; seed 0 is the embedded pair."""
    if seed == 0:
        return DEMO_PAIR
    names = (f"demo/seeds/{seed}/{role}" for role in ("base", "reasoner"))
    base, reasoner = (ModelSpec(repo_id=name) for name in names)
    return PairSpec(base=base, reasoner=reasoner)


def plain_prompt(study: Study, text: str) -> Prompt:
    """Text as the base model reads it, without any problem around it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(study.folder / "base" / "tokenizer.json"))
    return Prompt(question=text, text=text, token_ids=tuple(tokenizer.encode(text, add_special_tokens=False).ids))


def percentile_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """Σ numerators / Σ denominators with the percentile bootstrap over prompts or traces that the report was made with.

    nan values are left out. The report has over 100 prompts a row; at fewer the app's own intervals hold better.
    """
    rows = np.asarray([numerators, denominators], float).T
    rows = rows[~np.isnan(rows).any(axis=1)]
    return bootstrap_sums(rows, lambda sums: sums[..., 0] / np.maximum(sums[..., 1], 1e-12))


def summary(cell: DoseCell) -> dict[str, Any]:
    """The numbers of a cell: keyword share with its interval, NLL, repetition, and completions that say nothing."""
    share, nll = percentile_ratio(cell.hits, cell.words), percentile_ratio(cell.nll, [1.0] * len(cell.nll))
    return {
        "coefficient": cell.spec.coefficient,
        "keywords": [round(100 * value, 4) for value in (share.mean, share.low, share.high)],
        "nll": [round(value, 4) for value in (nll.mean, nll.low, nll.high)],
        "repetition": round(sum(cell.repetition) / len(cell.repetition), 4),
        "words": round(sum(cell.words) / len(cell.words), 1),
        "no_evidence": sum(map(bool, cell.no_evidence)),
        "prompts": len(cell.words),
    }
