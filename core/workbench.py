"""The façade that pages and scripts use: look in the store, else run a job, then save.

Importing it costs no torch; the modules that need it are imported by the jobs, on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from core.attribution.corpus import CorpusText, CorpusTextSpec
from core.attribution.readouts import StreamLens, StreamLensSpec
from core.attribution.values import DirectionLens, LensSpec, ReadingSpec
from core.background import Background
from core.directions.folder import DirectionFolder
from core.directions.mean_vectors import MeanVectorFolder
from core.disk.store import Store
from core.embedded import example_traces, references_for
from core.engine import Engine
from core.experiments.check import Cost
from core.experiments.folder import ExperimentFolder
from core.experiments.values import Outcome, Plan
from core.experiments.work import Lab
from core.extraction.moments import MomentsSpec
from core.extraction.shelf import MomentShelf
from core.extraction.values import DirectionSet, ExtractionSpec, check_enough
from core.fetching.jobs import FetchJobs
from core.finetuning.jobs import FinetuneJobs
from core.fleet.values import FleetSpec
from core.jobs import NOBODY, Caller, JobId, Progress, Work
from core.kinds import KINDS as _KINDS
from core.labelling.crew import CALM, Pace
from core.labelling.judge import JudgeReport, JudgeSpec
from core.labelling.keywords import KeywordSet
from core.labelling.references import Reference
from core.labelling.work import judge_traces, keyword_work
from core.models.checkpoints import PairNeed, estimate_pair
from core.models.pair import PairHolder, Role
from core.remembered import PairFacts, RememberedPairs
from core.runs.cells import DoseCell
from core.runs.history import Comparisons, RunHistory
from core.runs.journal import RunJournal
from core.runs.values import Generation, GenerationSpec, LaneKL, LaneKLSpec
from core.runs.work import LaneJobs
from core.series.jobs import SeriesJobs
from core.talk.folder import TalkFolder
from core.talk.hold import PairHold
from core.traces.coverage import EventTable
from core.traces.sets import TraceFolder
from core.traces.work import table_events
from core.values import PairSpec, Spec, T, Trace
from core.weights import formerly, measured_by

if TYPE_CHECKING:
    from core.models.loaded import LoadedModel

_MONTH, _HOUR = 30 * 86_400.0, 3_600.0


class Workbench:
    """One store, one engine and at most one loaded pair. Safe to use from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pair, self.pair_hold = PairHolder(_accept), PairHold()
        models = self.pair.loaded
        self.store = Store(root, former=lambda: formerly(models()), measured=lambda: measured_by(models()))
        self.moments = MomentShelf(self.store)
        self.directions = DirectionFolder(root)
        self.mean_vectors = MeanVectorFolder(root)
        self.trace_sets = TraceFolder(root, embedded=example_traces)
        self.journal, self.talk = RunJournal(root), TalkFolder(root)
        self.history = RunHistory(root, self.store)
        self.comparisons = Comparisons(root, self.store, self.history)
        self.engine = Engine(check_clean=self.pair.check_clean)
        self.experiments = ExperimentFolder(root)
        self.finetunes = FinetuneJobs(root, self.engine)
        self.fetching = FetchJobs(root, self.engine)
        self.remembered = RememberedPairs(self.store, self.experiments)
        self._lab = Lab(
            self.store, self.moments, self.pair, self.trace_sets, self.directions, self.experiments, self._references
        )
        self.series = SeriesJobs(root, self.engine, self._lab, _accept)
        self._lanes = LaneJobs(self.store, self.journal, self.history, self.pair)

    def close(self) -> None:
        """Before the process ends: interrupt all work, let it keep what it has, and close the store."""
        self.journal.leave()
        self.engine.halt()
        self.store.close()

    def load_pair(
        self, pair: PairSpec, caller: Caller = NOBODY, *, one_at_a_time: bool | None = None
    ) -> JobId[PairSpec]:
        """Job that replaces the pair in memory (`PairHolder.load`); jobs on the old one keep what they have.

        Raises BadInput while another session keeps the pair for its talk; a job that waited meanwhile ends with it.
        """
        self.pair_hold.check(caller)
        title, work = f"Loading {pair.base.name} and {pair.reasoner.name}", self._load(pair, caller, one_at_a_time)
        return self.engine.submit("load", work, title=title, caller=caller, seconds=2 * _HOUR, lasting=True)

    def _load(self, pair: PairSpec, caller: Caller, one_at_a_time: bool | None) -> Work[PairSpec]:
        self.pair_hold.check(caller)
        self.fetching.check(pair)
        loaded = yield from self.pair.load(pair, one_at_a_time=one_at_a_time)
        self.remembered.keep(PairFacts(base=self.pair.facts("base"), reasoner=self.pair.facts("reasoner")))
        return loaded

    def estimate_pair(self, pair: PairSpec, caller: Caller = NOBODY) -> JobId[PairNeed]:
        """Job whose result is what the pair would take; nothing is loaded."""
        work = Background("retrace-estimate").follow(partial(estimate_pair, pair))
        return self.engine.submit("estimate", work, title="Reading what a pair needs", caller=caller)

    def cached(self, spec: Spec[T]) -> T | None:
        """The stored result of a spec, or None."""
        kind, cls = _KINDS[type(spec)]
        if isinstance(spec, GenerationSpec):
            return cast("T | None", self._lanes.cached(spec))
        get = self.store.get_file if cls is DirectionSet else self.store.get
        return cast("T | None", get(cls, kind, spec))

    def unfinished(self, spec: GenerationSpec) -> Generation | None:
        """What a stopped or failed run of the spec left behind, or None."""
        return self.store.get(Generation, "unfinished", spec)

    def generate(self, specs: Sequence[GenerationSpec], caller: Caller = NOBODY) -> JobId[tuple[Generation, ...]]:
        """Job that completes all lanes, those already stored excepted; its result is a tuple of Generation."""
        work = self.pair.in_turn(self._lanes.generate(tuple(specs)))
        return self.engine.submit("generate", work, title="Generating", caller=caller)

    def generate_set(self, specs: Sequence[GenerationSpec], caller: Caller = NOBODY) -> JobId[tuple[Generation, ...]]:
        """As `generate`, for many completions: a batch at a time, each kept when it is done."""
        work = self._lanes.generate_set(tuple(specs))
        return self._lasting("generate_set", work, title="Prompt set", caller=caller, about=tuple(specs))

    def fork(
        self, parent: Generation, spec: GenerationSpec, at: int, caller: Caller = NOBODY
    ) -> JobId[tuple[Generation, ...]]:
        """Job that completes a fork of `parent`, at its token `at`, and keeps both in the tree of forks."""
        work = self.pair.in_turn(self._lanes.fork(parent, spec, at))
        return self.engine.submit("generate", work, title="Forking", caller=caller)

    def compare_lanes(self, spec: LaneKLSpec, caller: Caller = NOBODY) -> JobId[LaneKL]:
        """Job whose result is the LaneKL of the spec."""
        return self._submit(spec, self._lanes.compare(spec), "Comparing lanes", caller)

    def extract(self, spec: ExtractionSpec, traces: Sequence[Trace], caller: Caller = NOBODY) -> JobId[DirectionSet]:
        """Job whose result is the DirectionSet of the spec. Raises BadInput for fewer than two traces."""
        check_enough(traces)

        def work() -> Work[DirectionSet]:
            from core.extraction.work import extract

            return (yield from extract(self.pair.model_of(spec.model, spec.fingerprint), traces, spec))

        return self._submit(spec, work(), "Extracting directions", caller)

    def record_moments(
        self, specs: Sequence[MomentsSpec], traces: Sequence[Trace], caller: Caller = NOBODY
    ) -> JobId[tuple[MomentsSpec, ...]]:
        """Job that puts the sums of each spec into `moments`; it results in the specs. BadInput: under two traces."""
        check_enough(traces)

        def work() -> Work[tuple[MomentsSpec, ...]]:
            from core.extraction.work import record

            return (yield from record(self.pair.model_of, self.moments, specs, traces))

        return self._lasting("moments", work(), title="Extracting directions", caller=caller, about=tuple(specs))

    def attribute(self, spec: ReadingSpec[T], caller: Caller = NOBODY) -> JobId[T]:
        """Job whose result is what the spec asks of a text, for example the Attribution of an AttributionSpec."""

        def work() -> Work[T]:
            from core.attribution.work import read_text

            return (yield from read_text(self.pair.model_of, spec))

        return self._submit(spec, work(), "Reading tokens", caller)

    def read_stream(self, specs: Sequence[StreamLensSpec], caller: Caller = NOBODY) -> JobId[tuple[StreamLens, ...]]:
        """Job whose result is the StreamLens of every spec, all of one text; each is kept as it comes."""

        def work() -> Work[tuple[StreamLens, ...]]:
            from core.attribution.work import read_stream

            return (yield from read_stream(self.pair.model_of, specs, cached=self.cached, save=self._save))

        return self._lasting("stream", work(), title="Reading all layers", caller=caller, about=tuple(specs))

    def import_traces(self, file: BinaryIO, *, source: str, name: str, caller: Caller = NOBODY) -> JobId[str]:
        """Job that reads a file of traces into a saved set and closes it; its result is the set's id."""

        def work() -> Work[str]:
            from core.importing.work import import_traces

            return (yield from import_traces(file, source=source, name=name, folder=self.trace_sets))

        return self._lasting("import", work(), title="Importing traces", caller=caller, about=None)

    def table_events(self, set_id: str, label: str, role: Role, caller: Caller = NOBODY) -> JobId[EventTable]:
        """Job whose result is the EventTable of a label in a saved set, in the tokens of that role's model."""

        def work() -> Work[EventTable]:
            total = self.trace_sets.info(set_id).n_traces
            return (yield from table_events(self.pair, role, self.trace_sets.iterate(set_id), label, total=total))

        return self.engine.submit("events", work(), title="Finding events", caller=caller)

    def label_by_keywords(self, set_id: str, keywords: KeywordSet, *, name: str, caller: Caller = NOBODY) -> JobId[int]:
        """Job that labels a saved set and keeps the labelling under `name`; its result is the number of parts."""

        def keep(traces: Sequence[Trace]) -> None:
            self.trace_sets.save_labels(set_id, name, [trace.parts for trace in traces])

        work, about = keyword_work(self.trace_sets.load(set_id), keywords, keep=keep), (set_id, keywords, name)
        return self._lasting("label", work, title="Labelling by keywords", caller=caller, about=about)

    def judge(
        self, spec: JudgeSpec, traces: Sequence[Trace], caller: Caller = NOBODY, *, pace: Pace = CALM
    ) -> JobId[JudgeReport]:
        """Job whose result is the JudgeReport of the traces; every answer is kept as it comes."""
        work = judge_traces(spec, traces, lookup=self.cached, keep=self._save, pace=pace)
        return self._lasting("judge", work, title="Asking the judge", caller=caller, about=(spec, tuple(traces)))

    def read_corpus(self, specs: Sequence[CorpusTextSpec], caller: Caller = NOBODY) -> JobId[tuple[CorpusText, ...]]:
        """Job whose result is the CorpusText of every spec; each is kept as it comes."""

        def work() -> Work[tuple[CorpusText, ...]]:
            yield Progress(0, len(specs), "starting")
            from core.attribution.work import read_corpus

            return (yield from read_corpus(self.pair.model_of, specs, cached=self.cached, save=self._save))

        return self._lasting("corpus", work(), title="Reading all texts", caller=caller, about=tuple(specs))

    def read_direction(self, spec: LensSpec, caller: Caller = NOBODY) -> JobId[DirectionLens]:
        """Job whose result is the DirectionLens of the spec."""

        def work() -> Work[DirectionLens]:
            from core.attribution.direction_lens import read_direction

            loaded = self.pair.model_of(spec.model, spec.fingerprint)
            yield Progress(0, 1, "reading the direction through the unembedding")
            return read_direction(loaded, spec)

        return self._submit(spec, work(), "Logit lens", caller)

    def run_plan(self, plan: Plan, caller: Caller = NOBODY, fleet: FleetSpec | None = None) -> JobId[Outcome]:
        """Job that measures what the plan asks for and is not there yet, and keeps it; its result is the Outcome."""
        return self._lasting("experiment", self._lab.run(plan, fleet), title="Experiment", caller=caller, about=plan)

    def help_plan(self, plan: Plan, caller: Caller = NOBODY) -> JobId[None]:
        """Job that measures what another process, at work on the plan over the same store, has not come to."""
        return self._lasting("help", self._lab.help(plan), title="Helping", caller=caller, about=plan)

    def cost(self, plan: Plan, traces: Sequence[Trace] = ()) -> Cost:
        """What a plan takes at most; with its time where this machine has measured how fast the pair writes."""
        return self._lab.cost(plan, traces)

    def cell(self, key: str) -> DoseCell | None:
        """The cell of a point, with its texts, or None where it is not kept any more."""
        return self.store.get_by_key(DoseCell, key)

    def _references(self, plan: Plan) -> list[Reference]:
        return references_for(plan.pair, lookup=self.cached, keep=self._save)

    def _lasting(self, kind: str, work: Work[T], *, title: str, caller: Caller, about: object) -> JobId[T]:
        """Begin a long job, which goes on when its tab is closed, or take over the same one of a closed tab."""
        work = self.pair.in_turn(work)
        return self.engine.submit(kind, work, title=title, caller=caller, seconds=_MONTH, lasting=True, about=about)

    def _submit(self, spec: Spec[T], work: Work[T], title: str, caller: Caller) -> JobId[T]:
        kind, _ = _KINDS[type(spec)]
        work, lasting = self._stored(spec, work), isinstance(spec, ExtractionSpec)
        return self.engine.submit(
            kind, work, title=title, caller=caller, seconds=2 * _HOUR, lasting=lasting, about=spec
        )

    def _stored(self, spec: Spec[T], work: Work[T]) -> Work[T]:
        found = self.cached(spec)
        if found is not None:
            return found
        result = yield from self.pair.in_turn(work)
        self._save(spec, result)
        return result

    def _save(self, spec: Spec[T], result: T) -> None:
        kind, cls = _KINDS[type(spec)]
        put = self.store.put_file if cls is DirectionSet else self.store.put
        put(kind, spec, result)


def _accept(loaded: LoadedModel) -> None:
    from core.forward.acceptance import accept

    accept(loaded)
