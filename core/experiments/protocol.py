"""What an experiment measures, in which order, and how each answer decides what is asked next. Knows no model.

A protocol yields a `Want` and takes its `Point`. The choosing half is asked first: where the edge of the readable lies
at each layer, which layer, window and dose do most. Only then is the reported half asked, at what was chosen.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

from core.directions.direction import Direction
from core.dose_search import Found, Search, find_dose, rounded, together
from core.errors import UserFacingError
from core.experiments.arms import Directions, at_coherence, unsteered_arm
from core.experiments.points import Want, short_want
from core.experiments.statistics import nll, rate, readable, unsteered
from core.experiments.values import EDGE_NLL, Arm, Choice, ControlPlan, Edge, Outcome, Plan, Point
from core.models.pair import ROLES, Role
from core.values import Window

Protocol = Generator[Want, Point, None]
Place = tuple[int, Window | None]
"""Layer and window."""
Asked = tuple[Arm, float, Arm | None]
"""An arm, its dose, and what its cosine is taken with."""
STEERED = {"fig2", "fig3", "fig4", "figB1", "figC1", "map"}
"""Figures that need steered text; the others only read."""
START_SHARE = 0.2
"""Of the residual norm, where the search for the first layer's edge begins; where that is not known, START_DOSE."""
START_DOSE = 4.0
MIN_COHERENCE, COHERENCE_TRIES = 0.05, 6
"""Nats per token: below it the search for equal coherence would follow noise; and how many doses it tries."""


@dataclass
class Notebook:
    """What was found so far; `outcome` is a value of it that pages may hold."""

    plan: Plan
    fingerprints: tuple[str, str]
    edges: list[Edge] = field(default_factory=list)
    choice: Choice | None = None
    chosen_from: list[Point] = field(default_factory=list)
    reported: list[Point] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def outcome(self, *, done: int, total: int, finished: bool = False) -> Outcome:
        """Everything so far."""
        return Outcome(
            plan=self.plan,
            fingerprints=self.fingerprints,
            done=done,
            total=max(total, done),
            finished=finished,
            edges=tuple(self.edges),
            choice=self.choice,
            chosen_from=tuple(self.chosen_from),
            reported=tuple(self.reported),
            notes=tuple(dict.fromkeys(self.notes)),
        )


class Steps:
    """The steps of one plan, over its directions, noted in a notebook."""

    def __init__(self, plan: Plan, directions: Directions, book: Notebook) -> None:
        self.plan, self.directions, self.book = plan, directions, book
        self._doses: dict[Place, tuple[float, ...]] = {}
        self._asked: dict[tuple[object, ...], Point] = {}
        self._later: list[Want] = []
        """What will be asked for whatever comes out; it may have been asked for since."""
        self._sought: list[Want] = []
        """What the searches for doses ask for now."""

    def run(self) -> Protocol:
        """Choose, then report."""
        yield from self._choose()
        yield from self._report()

    def _choose(self) -> Protocol:
        plan, fixed = self.plan, self.plan.fixed
        saved = self.directions.saved.get("base")
        windows = (None,) if saved else (fixed.window,) if fixed.window else plan.windows
        layers = (saved.layer,) if saved else (fixed.layer,) if fixed.layer is not None else plan.layers
        is_compared = not saved and bool({"fig2", "figB1", "map"} & set(plan.figures))
        place = (layers[0], windows[0])
        if len(windows) == len(layers) == 1 and not STEERED & set(plan.figures):
            self.book.choice = _given(place, 0.0)
            return
        if len(windows) == len(layers) == 1 and fixed.dose is not None:
            yield from self._find_doses(place)
            self.book.choice = _given(place, self._scaled(place, [fixed.dose])[0])
            if not is_compared:
                return
        yield from self._measure(unsteered_arm("reasoner"), 0.0, "choose", self.book.chosen_from)
        yield from self._curves("base", [(layer, windows[0]) for layer in (plan.layers if is_compared else layers)])
        if saved:
            self.book.choice = self._best(layers, windows)
        else:
            yield from self._compare_windows(layers, windows)

    def _compare_windows(self, layers: Sequence[int], windows: Sequence[Window | None]) -> Protocol:
        """All windows at all layers where the map is asked for, else a cross; then Fig. B.1's rest."""
        plan = self.plan
        if "map" in plan.figures:
            yield from self._curves("base", [(layer, window) for window in plan.windows for layer in plan.layers])
        else:
            yield from self._cross(layers, windows)
        self.book.choice = best = self._best(layers, windows)
        if "figB1" in plan.figures and "reasoner" in self.directions.sources:
            yield from self._curves("reasoner", [(layer, best.window) for layer in plan.layers])

    def _cross(self, layers: Sequence[int], windows: Sequence[Window | None]) -> Protocol:
        """Every window at the best layer, and every layer once more where another window is best."""
        plan, best = self.plan, self._best(layers, windows[:1])
        compared = plan.windows if "fig2" in plan.figures else windows
        yield from self._curves("base", [(best.layer, window) for window in compared])
        best = self._best(layers, windows)
        if best.window != windows[0] and len(layers) > 1:
            yield from self._curves("base", [(layer, best.window) for layer in plan.layers])

    def _curves(self, source: Role, places: Sequence[Place]) -> Protocol:
        """The directions of these places into the reasoning model at every dose, on the choosing half."""
        arms: dict[Place, Arm] = {}
        for place in places:
            try:
                arm = self.directions.arm(source, "reasoner", *place)
                yield from self._find_doses(place)
            except UserFacingError as error:
                self.book.notes.append(error.problem)
                continue
            arms[place] = arm
            self._later += [Want(arm=arm, coefficient=dose, half="choose") for dose in self._doses[place]]
        for place, arm in arms.items():
            for dose in self._doses[place]:
                yield from self._measure(arm, dose, "choose", self.book.chosen_from)

    def _best(self, layers: Sequence[int], windows: Sequence[Window | None]) -> Choice:
        """The place and dose that raise the keywords most in readable text, among those that may be chosen.

        Where the plan fixes all three, these.
        """
        plan, points, known = self.plan, self.book.chosen_from, self.book.choice
        if known is not None and known.n_compared == 0:
            return known
        baseline = unsteered(points, "reasoner", "choose")
        found = [
            p
            for p in points
            if (p.kind, p.source) == ("direction", "base") and p.layer in layers and p.window in windows
        ]
        if plan.fixed.dose is not None:
            kept = {place: self._scaled(place, [plan.fixed.dose])[0] for place in self._doses}
            found = [p for p in found if p.coefficient == kept.get((p.layer, p.window))]
        fit = [p for p in found if readable(p, baseline)]
        best = max(fit, key=lambda p: (rate(p).mean, -abs(p.coefficient)), default=None) or min(
            found, key=lambda p: abs(p.coefficient)
        )
        return Choice(
            layer=best.layer,
            window=best.window,
            coefficient=best.coefficient,
            readable=bool(fit),
            n_compared=len(found),
        )

    def _report(self) -> Protocol:
        plan, choice = self.plan, self.book.choice
        if choice is None or not {"fig3", "fig4", "figC1"} & set(plan.figures):
            return
        place, chosen = (choice.layer, choice.window), choice.coefficient
        doses = sorted({*self._doses[place], chosen})
        tested = self.directions.arm("base", "reasoner", *place)
        asked: list[Asked] = [(unsteered_arm("reasoner"), 0.0, None), (tested, chosen, None)]
        if "fig3" in plan.figures:
            asked += self._two_by_two(place, chosen, doses)
        elif "figC1" in plan.figures:
            asked += [(tested, dose, None) for dose in doses]
        controls = plan.controls if "fig4" in plan.figures else _random_alone(plan.controls)
        arms, notes = self.directions.controls(controls, *place) if {"fig3", "fig4"} & set(plan.figures) else ([], [])
        self.book.notes += notes
        named, random = [a for a in arms if a.kind != "random"], [a for a in arms if a.kind == "random"]
        asked += [(arm, chosen, tested) for arm in [*named, *random]]
        curves = [*named, *random[: controls.curves]] if controls.curves else []
        lines: list[Asked] = [(arm, dose, tested) for arm in curves for dose in doses]
        self._later += [Want(arm=arm, coefficient=dose, half="report") for arm, dose, _ in [*asked, *lines]]
        yield from self._reported(asked)
        yield from self._coherent(tested, random[: controls.matched], choice)
        yield from self._reported(lines)

    def _two_by_two(self, place: Place, chosen: float, doses: Sequence[float]) -> list[Asked]:
        """Either direction in either model, at the chosen dose and then at every dose."""
        arms = []
        for target in ROLES:
            for source in self.directions.sources:
                try:
                    arms.append(self.directions.arm(source, target, *place))
                except UserFacingError as error:
                    self.book.notes.append(error.problem)
        at_chosen: list[Asked] = [(arm, chosen, None) for arm in arms]
        lines: list[Asked] = [(arm, dose, None) for arm in reversed(arms) for dose in doses]
        return [(unsteered_arm("base"), 0.0, None), *at_chosen, *lines]

    def _coherent(self, tested: Arm, random: Sequence[Arm], choice: Choice) -> Protocol:
        """Every random direction at the dose that makes the text as much less likely as the tested one does."""
        if not random:
            return
        cost = yield from self._cost(tested, choice.coefficient)
        start, level = abs(choice.coefficient), max(cost, MIN_COHERENCE)
        doses = yield from self._search(random, [find_dose(start, level, tries=COHERENCE_TRIES) for _ in random])
        for arm, (dose, found) in zip(random, doses, strict=True):
            if found:
                yield from self._measure(at_coherence(arm), dose, "report", self.book.reported, tested)
            else:
                self.book.notes.append(f"No dose of {arm.name} up to {dose:.3g} has the direction's coherence.")

    def _reported(self, asked: Sequence[Asked]) -> Protocol:
        for arm, dose, tested in asked:
            yield from self._measure(arm, dose, "report", self.book.reported, tested)

    def _measure(
        self, arm: Arm, dose: float, half: str, into: list[Point], tested: Arm | None = None
    ) -> Generator[Want, Point, Point]:
        """Ask for a point once and note it."""
        want = Want(arm=arm, coefficient=dose, half="choose" if half == "choose" else "report", ahead=self._ahead())
        if want.key not in self._asked:
            point = yield want
            point = replace(point, cosine=_cosine(arm.direction, tested.direction if tested else None))
            self._asked[want.key] = point
            into.append(point)
        return self._asked[want.key]

    def _ahead(self) -> tuple[Want, ...]:
        self._later = [want for want in self._later if want.key not in self._asked]
        return (*self._sought, *self._later)

    def _find_doses(self, place: Place) -> Protocol:
        """The doses of a place, by the plan's unit; once a place. Raises BadInput where it has no direction."""
        if place in self._doses:
            return
        if self.plan.doses.unit == "auto":
            arm = self.directions.arm("base", "reasoner", *place)
            ((edge, found),) = yield from self._search([arm], [find_dose(self._start(place[0]), EDGE_NLL)])
            self.book.edges.append(Edge(layer=place[0], window=place[1], coefficient=edge, found=found))
        values = sorted({value for value in (*self.plan.doses.values, self.plan.fixed.dose) if value})
        self._doses[place] = tuple(self._scaled(place, values))

    def _scaled(self, place: Place, values: Sequence[float]) -> list[float]:
        """Doses of the plan's unit as multiples of a unit vector."""
        if self.plan.doses.unit == "auto":
            edge = next(edge.coefficient for edge in self.book.edges if (edge.layer, edge.window) == place)
            return [rounded(value * edge) for value in values]
        if self.plan.doses.unit == "share":
            return [round(value * self.directions.resid_norm(place[0]), 3) for value in values]
        return list(values)

    def _start(self, layer: int) -> float:
        """Where the search for an edge begins: at the last one, as a share of the residual norm."""
        norm = self.directions.resid_norm(layer)
        if not norm:
            return START_DOSE
        last = self.book.edges[-1] if self.book.edges else None
        share = last.coefficient / self.directions.resid_norm(last.layer) if last else START_SHARE
        return share * norm

    def _search(self, arms: Sequence[Arm], searches: Sequence[Search]) -> Generator[Want, Point, list[Found]]:
        """Answer the searches of these arms with the cost of each dose that they ask for."""
        steps = together(searches)
        try:
            i, asked = next(steps)
            while True:
                self._sought = [short_want(arms[j], dose) for j, dose in asked.items()]
                cost = yield from self._cost(arms[i], asked[i])
                i, asked = steps.send(cost)
        except StopIteration as stop:
            self._sought, found = [], stop.value
            return list(found)

    def _cost(self, arm: Arm, dose: float) -> Generator[Want, Point, float]:
        """How much less likely the short texts of a dose are than the unsteered ones; infinite without evidence."""
        baseline = yield short_want(unsteered_arm(arm.target), 0.0, self._ahead())
        point = yield short_want(arm, dose, self._ahead())
        cost = nll(point).mean - nll(baseline).mean
        return cost if cost == cost else float("inf")


def _given(place: Place, dose: float) -> Choice:
    """What the plan says itself."""
    return Choice(layer=place[0], window=place[1], coefficient=dose, readable=True, n_compared=0)


def _random_alone(controls: ControlPlan) -> ControlPlan:
    """What Fig. 3 without Fig. 4 is held against: the random directions of equal norm."""
    return replace(controls, matched=0, kinds=tuple(kind for kind in controls.kinds if kind == "random"))


def _cosine(one: Direction | None, other: Direction | None) -> float | None:
    return None if one is None or other is None else round(one.cosine(other), 6)
