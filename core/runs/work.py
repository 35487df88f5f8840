"""The jobs of the playground: lanes, sets of lanes and forks, with what is stored, logged and kept of them.

Importing it costs no torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.disk.store import Store
from core.jobs import Progress, new_run_id, relay
from core.models.pair import PairHolder
from core.runs.cells import DoseCell, DoseCellSpec, counted_text
from core.runs.history import RunHistory
from core.runs.journal import RunJournal, RunLog
from core.runs.values import WHOLE, Generation, GenerationSpec, LaneKL, LaneKLSpec
from core.text.words import measure_text
from core.values import ModelSpec

if TYPE_CHECKING:
    from core.models.loaded import LoadedModel

SET_BATCH = 32
CELL_BATCH, SMALL_CELL_BATCH, SMALL_D_MODEL = 32, 104, 512
"""Completions of a cell at a time; more for models up to SMALL_D_MODEL, whose cache is small."""
FULL_BATCH_TOKENS = 2048
"""Up to this length a batch is whole; of longer completions as many fewer, so that their caches take no more."""

Lanes = Generator[Progress, None, tuple[Generation, ...]]


class LaneJobs:
    """Work for the engine, over one store, journal and pair."""

    def __init__(self, store: Store, journal: RunJournal, history: RunHistory, pair: PairHolder) -> None:
        self._store, self._journal, self._history, self._pair = store, journal, history, pair

    def cached(self, spec: GenerationSpec) -> Generation | None:
        """The finished run of a spec, from the store or among the kept ones."""
        keys = tuple(self._store.keys_of("generation", spec))
        found = self._store.first(Generation, keys)
        if found is None and (kept := self._history.kept_by(keys)) is not None and is_whole(kept.generation):
            return kept.generation
        return found

    def generate(
        self,
        specs: tuple[GenerationSpec, ...],
        on_kept: Callable[[Generation], object] = lambda generation: None,
        *,
        at_once: int | None = None,
    ) -> Lanes:
        """Complete all lanes, those already stored excepted, in one batch per model, or `at_once` of them at a time."""
        yield Progress(0, 0, "starting")
        from core.runs.lanes import generate_lanes

        lanes: list[Generation | None] = []
        for i, spec in enumerate(specs):
            lanes.append(self.cached(spec))
            if (i + 1) % SET_BATCH == 0:
                yield Progress(0, 0, "starting")
        todo = [i for i, lane in enumerate(lanes) if lane is None]
        models = [self._pair.model_of(specs[i].model, specs[i].fingerprint) for i in todo]
        logs = _Logs(self._journal, [specs[i] for i in todo], at_once or len(todo))

        def keep(generations: list[Generation]) -> None:
            for generation in generations:
                kind = "generation" if is_whole(generation) else "unfinished"
                self._store.put(kind, generation.spec, generation)
                on_kept(generation)
            logs.finish_first()

        def merged(new: Sequence[Generation]) -> tuple[Generation, ...]:
            for i, generation in zip(todo, new, strict=True):
                lanes[i] = generation
            return tuple(lane for lane in lanes if lane is not None)

        work = generate_lanes(models, [specs[i] for i in todo], at_once=at_once, on_token=logs.note, on_end=keep)
        result = yield from relay(work, lambda progress: replace(progress, partial=merged(progress.partial)))
        return merged(result)

    def generate_set(self, specs: tuple[GenerationSpec, ...]) -> Lanes:
        """As `generate`, a batch at a time: what is done stays done when the work is stopped."""
        n, size = len(specs), rows_at_once(SET_BATCH, max((spec.sampling.max_new_tokens for spec in specs), default=1))

        def placed(progress: Progress) -> Progress:
            share = progress.done / progress.total if progress.total else 0.0
            n_ended = sum(generation.stop_reason != "running" for generation in progress.partial or ())
            return Progress(n * share, n, f"{n_ended} of {n} completions")

        return (yield from relay(self.generate(specs, at_once=size), placed))

    def fork(self, parent: Generation, spec: GenerationSpec, at: int) -> Lanes:
        """Complete a fork and keep it in the tree, also when it is stopped."""

        def keep(generation: Generation) -> None:
            self._history.keep(generation, parent=parent, forked_at=at)

        result = yield from self.generate((spec,), keep)
        keep(result[0])
        return result

    def compare(self, spec: LaneKLSpec) -> Generator[Progress, None, LaneKL]:
        """The per-token KL between two lanes."""
        from core.runs.replay import compare_lanes

        theirs = self._pair.model_of(spec.reference.model, spec.reference.fingerprint)
        ours, message = (
            self._pair.model_of(spec.lane.model, spec.lane.fingerprint),
            "comparing two lanes token by token",
        )
        yield Progress(0, 1, message)
        for item in compare_lanes(ours, theirs, spec):
            if not isinstance(item, float):
                return item
            yield Progress(item, 1, message)
        raise AssertionError("the comparison ended without a result")


class _Logs:
    """Logs of `size` lanes each, in order: one begins before a token of its lanes, and goes once they are kept."""

    def __init__(self, journal: RunJournal, specs: Sequence[GenerationSpec], size: int) -> None:
        self._journal, self._specs, self._size = journal, tuple(specs), max(1, size)
        self._logs: deque[RunLog] = deque()
        self._n_finished = 0
        self._reach(0)

    def note(self, lane: int, token_id: int, piece: str) -> None:
        """Note one token of a lane."""
        part, place = divmod(lane, self._size)
        self._reach(part)
        self._logs[part - self._n_finished].append(token_id, piece, lane=place)

    def finish_first(self) -> None:
        """The lanes of the first log that is there are kept."""
        self._reach(self._n_finished)
        self._logs.popleft().finish("length")
        self._n_finished += 1

    def _reach(self, part: int) -> None:
        while (begun := self._n_finished + len(self._logs)) <= part:
            specs = self._specs[begun * self._size : (begun + 1) * self._size]
            self._logs.append(self._journal.begin(new_run_id(), specs))


def is_whole(generation: Generation) -> bool:
    """Whether a run came to its own end and was scored."""
    scored = generation.nll is not None or not generation.token_ids
    return generation.stop_reason in WHOLE and scored


def run_cells(
    find_model: Callable[[ModelSpec, str], LoadedModel],
    specs: Sequence[DoseCellSpec],
    *,
    cached: Callable[[DoseCellSpec], DoseCell | None],
    save: Callable[[DoseCellSpec, DoseCell], None],
) -> Generator[Progress, None, tuple[DoseCell, ...]]:
    """All cells in order; those already stored are not run again, so a stopped run goes on."""
    cells: list[DoseCell] = []
    for number, spec in enumerate(specs):
        message = f"{spec.model.name}, coefficient {spec.coefficient:g}: point {number + 1} of {len(specs)}"

        def placed(progress: Progress, number: int = number, message: str = message) -> Progress:
            return Progress(number + progress.done / progress.total, len(specs), message, tuple(cells))

        cell = cached(spec)
        if cell is None:
            loaded = find_model(spec.model, spec.fingerprint)
            batch = SMALL_CELL_BATCH if loaded.d_model <= SMALL_D_MODEL else CELL_BATCH
            cell = yield from relay(run_cell(loaded, spec, batch=batch), placed)
            save(spec, cell)
        cells.append(cell)
        yield Progress(number + 1, len(specs), message, tuple(cells))
    return tuple(cells)


def rows_at_once(batch: int, max_new_tokens: int) -> int:
    """How many completions of this length run together where `batch` short ones do."""
    return max(1, batch * FULL_BATCH_TOKENS // max(FULL_BATCH_TOKENS, max_new_tokens))


def run_cell(loaded: LoadedModel, spec: DoseCellSpec, *, batch: int) -> Generator[Progress, None, DoseCell]:
    """All completions of one cell, measured and scored under the unsteered model.

    At most `batch` prompts are run at a time, fewer where the completions may be long (`rows_at_once`).
    """
    from core.runs.lanes import generate_lanes

    specs, batch = spec.generations(), rows_at_once(batch, spec.sampling.max_new_tokens)

    def placed(progress: Progress) -> Progress:
        return Progress(len(specs) * progress.done / max(progress.total, 1), len(specs))

    generations = yield from relay(generate_lanes([loaded] * len(specs), specs, at_once=batch), placed)
    measured = [measure_text(counted_text(g.text, spec.counted), spec.keywords) for g in generations]
    return DoseCell(
        spec=spec,
        hits=tuple(m.n_keywords for m in measured),
        words=tuple(m.n_words for m in measured),
        repetition=tuple(m.repetition for m in measured),
        nll=tuple(float("nan") if g.nll is None else g.nll for g in generations),
        no_evidence=tuple(m.no_evidence or "" for m in measured),
        texts=tuple(g.text for g in generations),
    )
