"""What a plan reads once its steering is measured: Fig. 5, Fig. 6, and Table C.1 on the completions that are there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from core.attribution import corpus
from core.attribution import values as attribution
from core.attribution.corpus import Projection, ProjectionSpec
from core.attribution.values import DirectionLens, LensSpec
from core.disk.store import Store
from core.errors import UserFacingError
from core.experiments.arms import Directions
from core.experiments.points import Setting
from core.experiments.readings import Head, LeadPlan, compare_labels, read_leads, read_lens
from core.experiments.values import Figure, LabelRow, LeadRow, LeadTrace, LensRow, Outcome
from core.experiments.words import NUMBERS
from core.extraction.shelf import MomentShelf
from core.jobs import Progress
from core.labelling.references import Reference
from core.models.pair import ROLES, PairHolder
from core.runs.cells import DoseCell
from core.values import Trace


@dataclass(frozen=True, kw_only=True)
class Appendix:
    """The rows of these figures."""

    lens: tuple[LensRow, ...] = ()
    leads: tuple[LeadRow, ...] = ()
    lead_traces: tuple[LeadTrace, ...] = ()
    labels: tuple[LabelRow, ...] = ()
    notes: tuple[str, ...] = ()


Reading = Generator[Progress, None, Appendix]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads the figures of one outcome; what was read before is found in the store."""

    setting: Setting
    directions: Directions
    pair: PairHolder
    store: Store
    shelf: MomentShelf

    def read(self, outcome: Outcome, traces: Sequence[Trace], references: Sequence[Reference]) -> Reading:
        """Every figure that the plan asks for; one that cannot be made leaves a note."""
        found = Appendix()
        parts: dict[Figure, Callable[[], Reading]] = {
            "fig5": lambda: self._lens(outcome),
            "fig6": lambda: self._leads(outcome, traces),
            "figC1": lambda: self._labels(outcome, references),
        }
        for figure, part in parts.items():
            if figure in self.setting.plan.figures and outcome.choice is not None:
                try:
                    more = yield from part()
                except UserFacingError as error:
                    more = Appendix(notes=(f"{NUMBERS[figure]} could not be made: {error.problem}",))
                found = _joined(found, more)
        return found

    def _lens(self, outcome: Outcome) -> Reading:
        """At every layer of the plan, at the chosen window."""
        assert outcome.choice is not None
        asked, window = [], outcome.choice.window
        for source in self.directions.sources:
            layers = self.setting.plan.layers if self.directions.tables else (outcome.choice.layer,)
            for layer in layers:
                direction = self.directions.arm(source, source, layer, window).direction
                asked += [(source, direction)] if direction is not None else []
        rows = yield from read_lens(
            self.pair.model_of,
            asked,
            [self._head(i) for i in range(len(ROLES))],
            cached=partial(self.store.get, DirectionLens, attribution.KINDS[LensSpec][0]),
            save=partial(self.store.put, attribution.KINDS[LensSpec][0]),
        )
        return Appendix(lens=rows)

    def _leads(self, outcome: Outcome, traces: Sequence[Trace]) -> Reading:
        """Of every source, at the chosen place."""
        choice, plan = outcome.choice, self.setting.plan
        assert choice is not None
        rows: list[LeadRow] = []
        drawn: list[LeadTrace] = []
        for i, role in enumerate(ROLES):
            if role not in self.directions.sources or choice.window is None:
                continue
            asked = LeadPlan(
                source=self._head(i),
                label=plan.label,
                layer=choice.layer,
                window=choice.window,
                negatives=plan.negatives,
                weighting=plan.weighting,
            )
            more, some = yield from read_leads(
                self.pair.model_of,
                asked,
                traces,
                shelf=self.shelf,
                cached=partial(self.store.get, Projection, corpus.KINDS[ProjectionSpec][0]),
                save=partial(self.store.put, corpus.KINDS[ProjectionSpec][0]),
            )
            rows += more
            drawn += some
        notes = () if rows else ("Fig. 6 needs traces: the directions of this plan are saved ones.",)
        return Appendix(leads=tuple(rows), lead_traces=tuple(drawn), notes=notes)

    def _labels(self, outcome: Outcome, references: Sequence[Reference]) -> Reading:
        """The base-derived direction in the reasoning model, dose by dose, the unsteered texts first."""
        if not references:
            note = "Table C.1 needs a judge: none is set, and the pair's own labels are not known."
            return Appendix(notes=(note,))
        points = [
            p
            for p in outcome.reported
            if p.target == "reasoner" and (p.kind == "unsteered" or (p.kind, p.source) == ("direction", "base"))
        ]
        cells = [cell for p in points for key in p.cells if (cell := self.store.get_by_key(DoseCell, key))]
        rows: list[LabelRow] = []
        for reference in references:
            rows += yield from compare_labels(cells, reference, arm_name="base-derived", label=outcome.plan.label)
        return Appendix(labels=tuple(rows))

    def _head(self, i: int) -> Head:
        facts = self.setting.facts[ROLES[i]]
        return Head(role=ROLES[i], model=facts.spec, fingerprint=facts.fingerprint)


def _joined(one: Appendix, other: Appendix) -> Appendix:
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in vars(one)})
