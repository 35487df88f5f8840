"""Bundles as downloads: what is at hand of this machine's results, as the bytes of one file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from core.bundles.contents import Contents, of_experiment
from core.bundles.writing import write_into
from core.disk.carried import Carried, carried
from ui.shell.state import workbench

Choose = Callable[[Path, Carried], Contents]


def bundle_bytes(choose: Choose) -> bytes:
    """The bundle of what `choose` finds in the cache folder. Raises BadInput where that is nothing."""
    root = workbench().store.root
    file = io.BytesIO()
    with carried(root) as store:
        write_into(file, choose(root, store))
    return file.getvalue()


def experiment_bytes(experiment_id: str) -> bytes:
    """An experiment with its texts, and the sums of its extraction. Raises BadInput where it is not there."""
    experiments = workbench().experiments
    plan, outcome = experiments.plan(experiment_id), experiments.outcome(experiment_id)
    return bundle_bytes(lambda root, store: of_experiment(root, store, plan, outcome, sums=True))


def sums_bytes() -> int:
    """Bytes of all extraction sums."""
    with carried(workbench().store.root) as store:
        return sum(store.file_sizes().values())
