"""A cache folder with one thing of every place that a bundle carries, written by the folders that own them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from core.bundles.contents import Contents, of_project
from core.bundles.writing import write_bundle
from core.directions.folder import DirectionFolder
from core.directions.mean_vectors import MeanVectorFolder
from core.disk import codec
from core.disk.carried import carried
from core.disk.store import Store
from core.experiments.folder import ExperimentFolder
from core.extraction.moments import Moments
from core.extraction.shelf import MomentShelf
from core.models.pair import ModelFacts
from core.remembered import PairFacts, RememberedPairs
from core.runs.history import RunHistory
from core.traces.sets import TraceFolder
from core.values import ModelSpec
from tests import every_kind
from tests.experiments import outcomes

PRINTS = (every_kind.FINGERPRINT, "reasoner-fingerprint")


def fill(root: Path, *, seed: int = 0) -> str:
    """Fill a cache folder; another seed has another direction, run and title. The id of its experiment."""
    store = Store(root)
    for kind, (spec, value) in every_kind.values_by_kind().items():
        put = store.put_file if kind == "extraction" else store.put
        assert put(kind, spec, value)
    MomentShelf(store).put(moments())
    RememberedPairs(store).keep(PairFacts(base=facts("base", PRINTS[0]), reasoner=facts("reasoner", PRINTS[1])))
    DirectionFolder(root).save(every_kind.direction(layer=seed))
    MeanVectorFolder(root).save(every_kind.mean_vectors())
    history = RunHistory(root, store)
    history.pin(every_kind.generation(seed + 1), 5.0)
    history.annotate(every_kind.generation(seed + 1), f"note {seed}")
    TraceFolder(root).save(every_kind.traces(), name=f"mine {seed}")
    store.close()
    return fill_experiment(root)


def moments() -> Moments:
    """Sums over enough traces to make directions of."""
    few, rng = every_kind.moments(), np.random.default_rng(0)
    return replace(
        few,
        sums=rng.standard_normal(few.sums.shape).astype(np.float32),
        counts=np.full(few.counts.shape, 4),
        squares=np.full(few.squares.shape, 9, np.float32),
        negative_sums=rng.standard_normal(few.negative_sums.shape).astype(np.float32),
        negative_counts=np.full(few.negative_counts.shape, 4),
        all_squares=np.full(few.all_squares.shape, 400, np.float32),
        skipped=(),
    )


def fill_experiment(root: Path) -> str:
    """An experiment with the key of a stored cell behind its first point."""
    spec, _ = every_kind.values_by_kind()["dose_cell"]
    made = outcomes.outcome()
    points = (replace(made.reported[0], cells=(codec.key_of("dose_cell", spec),)), *made.reported[1:])
    experiments = ExperimentFolder(root)
    experiment_id = experiments.save(made.plan)
    experiments.keep(experiment_id, replace(made, reported=points, fingerprints=PRINTS))
    return experiment_id


def facts(role: str, fingerprint: str) -> ModelFacts:
    """What is known of a model that no test loads."""
    return ModelFacts(
        spec=ModelSpec(repo_id=f"tiny/{role}", precision="bf16"),
        fingerprint=fingerprint,
        name=role,
        n_layers=8,
        d_model=every_kind.D_MODEL,
        d_vocab=64,
        context_length=256,
    )


def bundled(root: Path, path: Path, *, sums: bool = True) -> Contents:
    """All of a cache folder as a bundle."""
    with carried(root) as store:
        found = of_project(root, store, sums=sums)
        write_bundle(path, found)
    return found


def files_of(root: Path) -> dict[str, bytes]:
    """What the user owns in a cache folder, by path."""
    found = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(("values/", "origins/"))}


def values_of(root: Path) -> dict[str, bytes | None]:
    """The stored values of a cache folder, by key."""
    with carried(root) as store:
        return {key: store.value(key) for key in store.value_keys()}
