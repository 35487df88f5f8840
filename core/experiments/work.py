"""An experiment as the work of a job: directions, then point by point what the protocol asks; all of it kept.

What was measured is found again by its cells, so that a plan that was stopped, or killed, goes on where it was, in the
page as in the shell. Importing it costs no torch.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.directions.direction import Direction
from core.directions.folder import DirectionFolder
from core.disk import codec
from core.disk.leases import Leases
from core.disk.store import Store
from core.errors import BadInput, UserFacingError
from core.experiments import cell_work
from core.experiments.appendix import Appendix, Reader
from core.experiments.arms import Directions, table_spec
from core.experiments.cell_work import LEASES, CellWork, Speed, SpeedSpec
from core.experiments.check import Cost, check_directions, check_memory, check_plan, check_prompts, check_space, cost_of
from core.experiments.folder import ExperimentFolder
from core.experiments.points import Setting, Want, point_of, provenance_of
from core.experiments.protocol import Notebook, Steps
from core.experiments.values import Outcome, Plan, Point, TraceSource
from core.extraction import tables
from core.extraction.merging import Material
from core.extraction.shelf import MomentShelf
from core.extraction.tables import DirectionTable, TableSpec, table_of
from core.fleet.foreman import Foreman
from core.fleet.on_ray import with_workers
from core.fleet.passes import gather
from core.fleet.values import FleetSpec
from core.jobs import Progress, relay
from core.labelling.references import Reference
from core.models.checkpoints import available_memory
from core.models.pair import DEMO_PAIR, ROLES, PairHolder, Role
from core.traces.events import digest_of
from core.traces.records import read_traces
from core.traces.set_files import EMBEDDED
from core.traces.sets import TraceFolder
from core.values import Kinds, Trace

KEEP_EVERY = 20.0
"""Seconds after which what came out so far is written again."""

Work = Generator[Progress, None, Outcome]


KINDS: Kinds = {**tables.KINDS, **cell_work.KINDS}


@dataclass(frozen=True)
class Lab:
    """What an experiment works with: the pair in memory, and where everything is kept."""

    store: Store
    shelf: MomentShelf
    pair: PairHolder
    traces: TraceFolder
    directions: DirectionFolder
    experiments: ExperimentFolder
    references: Callable[[Plan], Sequence[Reference]] = lambda plan: ()
    """Who may say which sentences of a completion turn back (Table C.1)."""

    def run(self, plan: Plan, fleet: FleetSpec | None = None) -> Work:
        """Measure what the plan asks for and is not there yet. Raises BadInput before the first forward.

        With a fleet its workers make the cells and read the traces.
        """
        if fleet is None:
            return (yield from self._measured(plan))
        return (yield from with_workers(fleet, lambda hands: self._measured(plan, Foreman(hands))))

    def _measured(self, plan: Plan, foreman: Foreman | None = None) -> Work:
        run, traces = yield from self._begun(plan, foreman)
        return (yield from run.work(traces, self.experiments.save(plan)))

    def help(self, plan: Plan) -> Generator[Progress, None, None]:
        """Measure cells that another process, at work on this plan over the same store, has not come to.

        Ends when every point is there; what comes of them is kept by the other. Raises as `run`.
        """
        run, _ = yield from self._begun(plan)
        yield from run.points()

    def _begun(
        self, plan: Plan, foreman: Foreman | None = None
    ) -> Generator[Progress, None, tuple[_Run, tuple[Trace, ...]]]:
        """Check the plan and take its directions."""
        yield Progress(0, 0, "checking the plan")
        facts = {role: self.pair.facts(role) for role in ROLES}
        if self.pair.looks_swapped:
            raise BadInput(
                f"{facts['base'].name} has a chat template and {facts['reasoner'].name} has none: they look swapped.",
                "Name the base model first, then the reasoning model.",
            )
        check_plan(plan, (facts["base"], facts["reasoner"]))
        prompts = check_prompts(plan, self.pair.encode)
        traces = self._traces_of(plan.traces)
        saved = self._saved(plan)
        check_directions(plan, saved, traces, (facts["base"], facts["reasoner"]))
        cost = self.cost(plan, traces)
        check_space(self.store.root, cost.disk_bytes)
        check_memory(cost, available_memory(plan.pair.reasoner.device))
        found: dict[Role, DirectionTable] = {}
        if not saved:
            found = yield from self._tables(plan, traces, foreman)
        setting = Setting(plan=plan, facts=facts, prompts=prompts)
        return _Run(self, setting, Directions(found, saved), cost, foreman), traces

    def tables(self, plan: Plan) -> Generator[Progress, None, dict[Role, DirectionTable]]:
        """The directions of both models, found or taken. Raises BadInput where the traces are not the plan's."""
        return (yield from self._tables(plan, self._traces_of(plan.traces), None))

    def cost(self, plan: Plan, traces: Sequence[Trace] = ()) -> Cost:
        """What the plan takes at most; with its time where this machine has measured how fast the pair writes."""
        labels = {part.label for trace in traces for part in trace.parts}
        kv_bytes = max(self.pair.facts(role).kv_bytes for role in ROLES) if self.pair.holds(plan.pair) else 0
        speeds = self.speeds(plan)
        known = speeds if len(speeds) == len(ROLES) else None
        return cost_of(plan, n_labels=len(labels) or 6, speeds=known, kv_bytes=kv_bytes)

    def speeds(self, plan: Plan) -> dict[Role, float]:
        """New tokens per second of the plan's models, of those that this machine has measured."""
        found: dict[Role, float] = {}
        models = (plan.pair.base, plan.pair.reasoner)
        for role, model, fingerprint in zip(ROLES, models, plan.fingerprints, strict=True):
            if not fingerprint and self.pair.holds(plan.pair):
                fingerprint = self.pair.facts(role).fingerprint
            asked = SpeedSpec(model=model, fingerprint=fingerprint, device=model.device)
            speed = self.store.get(Speed, "speed", asked)
            if speed is not None:
                found[role] = speed.tokens_per_second
        return found

    def _traces_of(self, source: TraceSource) -> tuple[Trace, ...]:
        if source.kind == "none":
            return ()
        traces = self._read(source)
        if source.digest and digest_of(traces) != source.digest:
            raise BadInput(
                "The traces are not those of the plan: they were changed since it was made.",
                "Make the plan again, or bring back the traces that it was made with.",
            )
        return traces

    def _read(self, source: TraceSource) -> tuple[Trace, ...]:
        if source.kind == "file":
            return read_traces(Path(source.name)).traces
        try:
            return self.traces.load(source.name or EMBEDDED)
        except UserFacingError:
            for one in self.traces.list() if source.digest else ():
                with contextlib.suppress(UserFacingError):
                    traces = self.traces.load(one.set_id)
                    if digest_of(traces) == source.digest:
                        return traces
            raise

    def _saved(self, plan: Plan) -> dict[Role, Direction]:
        if plan.saved is None:
            return {}
        ids: dict[Role, str] = {"base": plan.saved.base, "reasoner": plan.saved.reasoner}
        return {role: self.directions.load(found) for role, found in ids.items() if found}

    def _tables(
        self, plan: Plan, traces: Sequence[Trace], foreman: Foreman | None = None
    ) -> Generator[Progress, None, dict[Role, DirectionTable]]:
        """The directions of both models; another process that takes one of them is waited for."""
        kind, _ = tables.KINDS[TableSpec]
        specs = {role: table_spec(plan, traces, self.pair.facts(role)) for role in ROLES}
        leases = Leases(self.store.root / LEASES)
        found: dict[Role, DirectionTable] = {}
        while len(found) < len(specs):
            before = len(found)
            for role, spec in specs.items():
                with leases.taken(codec.key_of(kind, spec)) as is_ours:
                    table = found.get(role) or self.store.get_file(DirectionTable, kind, spec)
                    if table is None and is_ours:
                        if foreman is not None:
                            material = Material(traces=tuple(traces), frame=self.pair.frame(role))
                            d_model = self.pair.facts(role).d_model
                            yield from gather(foreman, self.shelf, spec.moments(), material, d_model=d_model)
                        table = yield from self._table(spec, traces)
                        self.store.put_file(kind, spec, table)
                if table is not None:
                    found[role] = table
            if len(found) == before:
                yield Progress(0, 0, "another process reads the traces", waiting=True)
        return {role: found[role] for role in ROLES}

    def _table(self, spec: TableSpec, traces: Sequence[Trace]) -> Generator[Progress, None, DirectionTable]:
        """The directions of one model, from sums that are gathered once."""
        from core.extraction.work import record

        yield from record(self.pair.model_of, self.shelf, [spec.moments()], traces)
        moments = self.shelf.get(spec.moments())
        assert moments is not None, "the pass left no sums"
        yield Progress(0, 0, "taking differences of means")
        return table_of(moments, spec)


class _Run:
    """One plan being measured."""

    def __init__(
        self, lab: Lab, setting: Setting, directions: Directions, cost: Cost, foreman: Foreman | None = None
    ) -> None:
        self._lab, self._setting, self._directions = lab, setting, directions
        facts = setting.facts
        self._book = Notebook(setting.plan, (facts["base"].fingerprint, facts["reasoner"].fingerprint))
        self._appendix = Appendix()
        self._done, self._total = 0, cost.points
        self._work = CellWork(lab.store, lab.pair, setting, cost.tokens, foreman)
        self._kept_at = time.monotonic()
        self._provenance: tuple[tuple[str, str], ...] = ()
        self._outcome = self._now()

    def work(self, traces: Sequence[Trace], experiment_id: str) -> Work:
        """Every step of the protocol, then what is read without steering; kept under the id however it ends."""
        self._provenance = provenance_of(self._setting, traces)
        try:
            with contextlib.closing(self.points()) as steps:
                for progress in steps:
                    yield progress
                    if time.monotonic() - self._kept_at > KEEP_EVERY:
                        self._keep(experiment_id)
            yield from self._read(traces)
            self._outcome = self._now(finished=True)
        finally:
            self._work.close()
            self._keep(experiment_id)
        return self._outcome

    def points(self) -> Generator[Progress, None, None]:
        """Every step of the protocol; a point is noted before it counts as done."""
        steps = Steps(self._setting.plan, self._directions, self._book).run()
        want = next(steps, None)
        while want is not None:
            point, want = (yield from self._measure(want)), None
            with contextlib.suppress(StopIteration):
                want = steps.send(point)
            self._outcome = self._now()
            yield self._progress("")

    def _measure(self, want: Want) -> Generator[Progress, None, Point]:
        """A point, from its cells."""
        found = yield from self._work.of(want, self._progress)
        if not want.short:
            self._done += 1
        norm = self._directions.resid_norm(want.arm.layer) if want.arm.direction is not None else 0.0
        return point_of(self._setting.plan, want, found, resid_norm=norm)

    def _read(self, traces: Sequence[Trace]) -> Generator[Progress, None, None]:
        """Fig. 5, Fig. 6 and Table C.1."""
        lab = self._lab
        reader = Reader(
            setting=self._setting,
            directions=self._directions,
            pair=lab.pair,
            store=lab.store,
            shelf=lab.shelf,
        )
        work = reader.read(self._outcome, traces, lab.references(self._setting.plan))
        self._appendix = yield from relay(work, lambda progress: self._progress(progress.message))

    def _now(self, *, finished: bool = False) -> Outcome:
        total = self._done if finished else self._total
        outcome = self._book.outcome(done=self._done, total=total, finished=finished)
        more = vars(self._appendix) | {"notes": outcome.notes + self._appendix.notes}
        return replace(outcome, **more, provenance=self._provenance)

    def _progress(self, message: str) -> Progress:
        total = max(self._total, self._done)
        return Progress(self._done, total, message, self._outcome, seconds_left=self._work.seconds_left)

    def _keep(self, experiment_id: str) -> None:
        self._kept_at = time.monotonic()
        self._lab.experiments.keep(experiment_id, self._outcome)
        with contextlib.suppress(UserFacingError):
            self._keep_first()

    def _keep_first(self) -> None:
        """Save the directions of the chosen place where none of these models is there yet, so that pages have one."""
        lab, choice, is_saved = self._lab, self._outcome.choice, bool(self._directions.saved)
        is_embedded = self._setting.plan.pair.reasoner.repo_id == DEMO_PAIR.reasoner.repo_id
        if choice is None or is_saved or is_embedded:
            return
        there = [one.direction.fingerprint for one in lab.directions.list()]
        if not any(facts.has_weights(one) for one in there for facts in self._setting.facts.values()):
            for direction in self._directions.of_place(choice):
                lab.directions.save(direction)
