"""Small values of every stored type, and a process that stores them in a loop until it is killed."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from core.attribution.values import Attribution, AttributionSpec
from core.directions.direction import Direction
from core.directions.folder import DirectionFolder
from core.disk.store import Store
from core.extraction.values import DirectionSet, ExtractionSpec
from core.forward.edits import SteeringSpec
from core.runs.journal import RunJournal
from core.runs.values import Generation, GenerationSpec
from core.values import PAPER_WINDOW, ModelSpec, Positions, Prompt, SamplingSpec, Window

MODEL = ModelSpec(repo_id="tiny/base", revision="abc")


def direction(number: int = 0, *, d_model: int = 32) -> Direction:
    raw = np.random.default_rng(number).standard_normal(d_model).astype(np.float32)
    return Direction.from_raw(raw, name=f"number {number}", layer=2, provenance=(("label", "backtracking"),))


def generation_spec(number: int = 0, **changes: Any) -> GenerationSpec:
    prompt = Prompt(question="What is 2 + 2?", text="<|user|>What is 2 + 2?", token_ids=(5, 6, number))
    steering = (SteeringSpec(direction=direction(number), layer=2, coefficient=8.0, positions=Positions(every=2)),)
    spec = GenerationSpec(
        model=MODEL, fingerprint="f" * 16, prompt=prompt, sampling=SamplingSpec(seed=1), steering=steering
    )
    return dataclasses.replace(spec, **changes)


def generation(number: int = 0, *, tokens: int = 5) -> Generation:
    ids = tuple(range(number, number + tokens))
    pieces = tuple(f" t{i}" for i in ids)
    return Generation(spec=generation_spec(number), token_ids=ids, pieces=pieces, stop_reason="eos", seconds=0.5)


def attribution(*, seq: int = 4, n_layers: int = 3) -> Attribution:
    rng = np.random.default_rng(0)
    spec = AttributionSpec(
        model=MODEL,
        fingerprint="f",
        token_ids=tuple(range(seq)),
        text_start=1,
        direction=direction(),
        layer=2,
        coefficient=4.0,
        keywords=("Wait", "Hmm"),
    )
    grids = {name: rng.random((n_layers, seq), np.float32) for name in ("projection", "cosine")}
    rows = {name: rng.random(seq, np.float32) for name in ("p_keyword", "rank_keyword")}
    return Attribution(
        spec=spec,
        pieces=tuple("abcdefgh"[:seq]),
        top_ids=rng.integers(0, 9, (seq, 2)),
        top_pieces=("x",) * (2 * seq),
        top_probs=rng.random((seq, 2), np.float32),
        **grids,
        **rows,
    )


def direction_set(*, d_model: int = 16) -> DirectionSet:
    rng = np.random.default_rng(1)
    windows, layers = (PAPER_WINDOW, Window(start=0, stop=1)), (0, 3, 4)
    spec = ExtractionSpec(model=MODEL, fingerprint="f", traces_digest="t", windows=windows, layers=layers)
    return DirectionSet(
        spec=spec,
        vectors=rng.standard_normal((3, 2, d_model)).astype(np.float32),
        counts=np.arange(4).reshape(2, 2),
        resid_norms=rng.random(3, np.float32),
        separation=rng.random((3, 2), np.float32),
        separation_interval=rng.random((2, 3, 2), np.float32),
        reliability=rng.random((3, 2), np.float32),
        n_traces=3,
        n_events=4,
        n_tokens=100,
    )


def assert_same(got: Any, want: Any) -> None:
    """Equality of dataclasses with arrays in them: types, dtypes and bits."""
    assert type(got) is type(want)
    if dataclasses.is_dataclass(want):
        for field in dataclasses.fields(want):
            assert_same(getattr(got, field.name), getattr(want, field.name))
    elif isinstance(want, np.ndarray):
        assert (got.dtype, got.shape, got.tobytes()) == (want.dtype, want.shape, want.tobytes())
    elif isinstance(want, tuple):
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            assert_same(a, b)
    else:
        assert got == want


def write_until_killed(root: Path) -> None:
    """Journal, store and save without end; after each direction its id goes to standard output."""
    store, journal, folder = Store(root), RunJournal(root), DirectionFolder(root)
    start = len(folder.list()) * 1000
    for number in range(start, start + 100_000):
        value = generation(number, tokens=40)
        run_log = journal.begin(f"run-{number}", (value.spec,), meta={"number": str(number)})
        for token_id, piece in zip(value.token_ids, value.pieces, strict=True):
            run_log.append(token_id, piece)
        store.put("generation", value.spec, value)
        store.put_file("extraction", number, direction_set(d_model=2048))
        run_log.finish("eos")
        sys.stdout.write(folder.save(direction(number, d_model=2048)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]))
