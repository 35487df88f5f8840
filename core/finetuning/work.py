"""A finetune as the work of a job: one part of a batch a step, kept as it goes, the same adapter however often stopped.

The base model is loaded for this work alone and released at its end; the pair in memory is not touched.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import torch

from core.background import Background, Errand
from core.errors import BadInput, ModelUnavailable, UserFacingError
from core.finetuning.costs import check_base, memory_of
from core.finetuning.factors import new_factors
from core.finetuning.files import CARD, adapter_files, model_card
from core.finetuning.folder import Kept, Record, RunFolder
from core.finetuning.rows import Row, Rows, batches, rows_of, too_few
from core.finetuning.samples import QUESTIONS, write_sample
from core.finetuning.template import tokenizer_files
from core.finetuning.training import Trainer
from core.finetuning.values import LEAST_TRACES, Course, Finetuned, FinetuneSpec, Sample
from core.forward.acceptance import accept
from core.jobs import Progress, Work
from core.models.checkpoints import available_memory
from core.models.loaded import LoadedModel, load_model, set_threads, unload
from core.models.loading import load_tokenizer, on_threads
from core.tokens.encoding import Encoder
from core.tokens.frames import ChatFrame, load_frame
from core.tokens.vocabulary import compare_vocabularies, fitted
from core.values import T, Trace

log = logging.getLogger(__name__)

KEEP_EVERY = 60.0
"""Seconds of training that a killed process loses at most, beside the step that it was in."""


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A base model with all that its finetune reads."""

    loaded: LoadedModel
    encoder: Encoder
    rows: Rows
    record: Record
    tokenizer: Mapping[str, bytes]
    """The files of the reasoning model's tokenizer."""


def finetune(spec: FinetuneSpec, traces: Sequence[Trace], folder: RunFolder) -> Work[Finetuned]:
    """Train the adapter of the spec into the folder, or go on with it; a finished one is handed out.

    Raises BadInput, ModelUnavailable or OutOfMemory before anything is written, UserFacingError where the loss is not
    finite or the disk is full: what was kept stays.
    """
    folder.check(spec)
    if len(traces) < LEAST_TRACES:
        raise too_few(len(traces), 0, 0)
    with folder.claimed():
        record = folder.check(spec)
        if record is not None and folder.is_finished and (found := folder.state()) is not None:
            return found
        ready = yield from Background("retrace-finetune").follow(partial(_prepare, spec, traces, record))
        try:
            return (yield from on_threads(_Run(ready, folder).work(), ready.record.threads))
        finally:
            unload(ready.loaded)


def _prepare(spec: FinetuneSpec, traces: Sequence[Trace], record: Record | None, errand: Errand) -> _Ready:
    """Load and check everything; nothing is written."""
    _check_memory(spec)
    files = tokenizer_files(spec, tell=errand.tell)
    read = hashlib.sha256(b"\0".join(name.encode() + b"\0" + files[name] for name in sorted(files))).hexdigest()
    loaded = load_model(spec.base, progress=errand.tell, alone=errand.alone)
    try:
        _check_same(record, loaded, read)
        accept(loaded)
        errand.tell("reading the traces")
        encoder, frame, end = _reader(loaded, files)
        rows = rows_of(traces, encoder, frame, recipe=spec.recipe, end=end)
        begun = record or Record(spec=spec, fingerprint=loaded.fingerprint, reader=read, threads=_threads_for(loaded))
    except BaseException:
        unload(loaded)
        raise
    return _Ready(loaded=loaded, encoder=encoder, rows=rows, record=begun, tokenizer=files)


def _check_memory(spec: FinetuneSpec) -> None:
    need, free = memory_of(spec, check_base(spec)), available_memory(spec.base.device)
    if need > free:
        raise ModelUnavailable(
            f"Finetuning {spec.base.name} in {spec.base.precision} needs about {need / 1e9:.1f} GB on "
            f"{spec.base.device}, and {free / 1e9:.1f} GB are free.",
            "Choose bf16, shorter traces or a smaller base model.",
        )


def _check_same(record: Record | None, loaded: LoadedModel, reader: str) -> None:
    """Raise BadInput where the base model or the tokenizer are not those that the finetune was begun with."""
    if record is None or (loaded.has_weights(record.fingerprint) and record.reader == reader):
        return
    what = "tokenizer or chat template" if loaded.has_weights(record.fingerprint) else "base model"
    raise BadInput(
        f"The {what} has changed since this finetune of {loaded.name} was stopped.",
        "Put the files back as they were, or begin another finetune.",
    )


def _reader(loaded: LoadedModel, files: Mapping[str, bytes]) -> tuple[Encoder, ChatFrame, int]:
    """How the reasoning model will read, and the token that ends its texts; exactly as when its pair is loaded."""
    with TemporaryDirectory() as place:
        for name, data in files.items():
            (Path(place) / name).write_bytes(data)
        tokenizer = load_tokenizer(Path(place))
    if compare_vocabularies(tokenizer, loaded.tokenizer).n_words:
        raise ModelUnavailable(
            f"The tokenizer for the reasoning model has other words than that of {loaded.name}.",
            "Take the chat template of a model of the same family.",
        )
    frame = load_frame(tokenizer)
    tokenizer = fitted(tokenizer, loaded.d_vocab, frame.prefix + frame.suffix)
    own = tokenizer.eos_token_id
    ends = {own} & loaded.eos_ids or loaded.eos_ids
    if not ends:
        raise ModelUnavailable(f"{loaded.name} has no token that ends a text.", "Choose another base model.")
    return Encoder(tokenizer, loaded.context_length), frame, min(i for i in ends if i is not None)


def _threads_for(loaded: LoadedModel) -> int:
    before = torch.get_num_threads()
    try:
        return set_threads(loaded)
    finally:
        torch.set_num_threads(before)


class _Run:
    """A finetune between its first and its last step."""

    def __init__(self, ready: _Ready, folder: RunFolder) -> None:
        self._ready, self._folder = ready, folder
        self._spec, self._recipe = ready.record.spec, ready.record.spec.recipe
        self._factors = new_factors(ready.loaded, self._recipe)
        self._trainer = Trainer(ready.loaded, self._factors, self._recipe)
        self._course = Course(
            n_traces=len(ready.rows.learned),
            n_held_out=len(ready.rows.held_out),
            n_left_out=ready.rows.n_left_out,
            n_tokens=ready.rows.n_tokens,
        )
        self._kept = (-1, 0.0)
        """At which step, and when, something was kept last."""

    def work(self) -> Work[Finetuned]:
        """From where it was kept to the finished adapter."""
        self._begin()
        batch_of_step = islice(batches(self._ready.rows.learned, self._recipe), self._course.step, None)
        try:
            while True:
                if self._is_due:
                    yield from self._look()
                if self._course.step >= self._recipe.steps:
                    break
                yield from self._learn(next(batch_of_step))
                if time.monotonic() - self._kept[1] > KEEP_EVERY:
                    self._keep()
        finally:
            self._keep_at_end()
        self._folder.finish(self._adapter(with_card=True))
        return Finetuned(spec=self._spec, folder=str(self._folder.path), course=self._course, finished=True)

    def _begin(self) -> None:
        kept = self._folder.kept()
        if kept is not None:
            if kept.names != self._factors.names:
                raise BadInput("The base model has other maps than when this finetune was stopped.", "Begin another.")
            self._factors.fill(kept.factors)
            self._trainer.restore(kept.means, kept.squares, step=kept.course.step)
            self._course = kept.course
            self._kept = (kept.course.step, time.monotonic())
        self._folder.begin(self._ready.record, self._ready.tokenizer)

    def _learn(self, batch: Sequence[Row]) -> Generator[Progress, None, None]:
        started, course = time.monotonic(), self._course
        learning = self._trainer.learn(batch, course.step)
        loss = yield from self._told(learning)
        self._course = replace(
            course,
            step=course.step + 1,
            losses=(*course.losses, loss),
            seconds=course.seconds + time.monotonic() - started,
        )

    def _look(self) -> Generator[Progress, None, None]:
        """Held-out loss, sample texts and a checkpoint, all of them once."""
        rows, course = self._ready.rows, self._course
        if rows.held_out:
            lost = yield from self._told(self._trainer.loss_on(rows.held_out), "held-out traces")
            course = replace(course, held_out=(*course.held_out, (course.step, lost)))
        samples = []
        asked = {row.question: row for row in rows.held_out or rows.learned[-QUESTIONS:]}
        for i, row in enumerate(list(asked.values())[:QUESTIONS]):
            prompt = row.token_ids[: row.learned_from]
            writing = write_sample(self._ready.loaded, self._factors, prompt, seed=self._recipe.seed + i)
            tokens = yield from self._told(writing, "a sample text")
            text = "".join(self._ready.encoder.pieces(tokens))
            samples.append(Sample(step=course.step, question=row.question, text=text))
        self._course = replace(course, samples=(*course.samples, *samples), looked=course.step)
        self._folder.keep_checkpoint(course.step, {**self._ready.tokenizer, **self._adapter()})
        self._keep()

    @property
    def _is_due(self) -> bool:
        step = self._course.step
        return self._course.looked < step and (step % self._recipe.every == 0 or step == self._recipe.steps)

    def _told(self, work: Generator[float, None, T], what: str = "") -> Work[T]:
        """The work with how far the whole finetune is."""
        course, steps = self._course, self._recipe.steps
        recent = f" · loss {fmean(course.losses[-10:]):.3f}" if course.losses else ""
        held = f" · held out {course.held_out[-1][1]:.3f}" if course.held_out else ""
        message = f"step {min(course.step + 1, steps)} of {steps}{recent}{held}" + (f" · {what}" if what else "")
        left = (steps - course.step) * course.seconds / course.step if course.step else math.nan
        while True:
            try:
                share = next(work)
            except StopIteration as stop:
                ended: T = stop.value
                return ended
            done = course.step + (0 if what else share)
            yield Progress(done, steps, message, partial=course, seconds_left=left)

    def _adapter(self, *, with_card: bool = False) -> dict[str, bytes]:
        factors, course = self._factors, self._course
        found = adapter_files(
            self._spec,
            factors.names,
            factors.arrays(),
            turned=factors.is_turned,
            trained_on=self._ready.loaded.fingerprint,
        )
        held_out = course.held_out[-1][1] if course.held_out else None
        card = {CARD: model_card(self._spec, loss=fmean(course.losses[-10:]), held_out=held_out)} if with_card else {}
        return {**card, **found}

    def _keep(self) -> None:
        means, squares = self._trainer.state()
        factors = self._factors.arrays()
        names = self._factors.names
        self._folder.keep(Kept(course=self._course, names=names, factors=factors, means=means, squares=squares))
        self._kept = (self._course.step, time.monotonic())

    def _keep_at_end(self) -> None:
        """Keep the steps since the last time, however the work ends; why that fails must not hide why it ended."""
        if self._course.step > self._kept[0]:
            try:
                self._keep()
            except UserFacingError as error:
                log.warning("the last steps of a finetune are not kept: %s", error)
