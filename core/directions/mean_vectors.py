"""Mean activations per label and layer, as researchers publish them, and the directions between them. No torch.

The layout is that of Venhoff et al. (arXiv 2506.18167): for each label the mean residual stream after every block. Sets
are the user's data, kept like directions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.directions.direction import Direction, check_differs, rounding_of
from core.directions.folder import MAX_LAYER, MAX_NAME, MAX_NOTE
from core.directions.tensors import TensorFile
from core.disk import codec
from core.disk.kept import Kept, KeptFiles
from core.errors import BadDirection, BadInput
from core.text.lines import kept_line
from core.values import Floats, Integers

OVERALL = "overall"
MEAN, COUNT = "mean", "count"
MAX_LABELS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanVectors:
    """The mean residual stream of every label at every layer, and how many samples each mean is over."""

    name: str
    labels: tuple[str, ...]
    means: Floats = field(repr=False)
    """(n_labels, n_layers, d_model) mean of resid_post."""
    counts: Integers = field(repr=False)
    """(n_labels,) samples that each mean is over; 0 when unknown."""
    source_model: str = ""
    provenance: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        shape = self.means.shape
        if len(shape) != 3 or shape[0] != len(self.labels) or shape[1] < 1 or shape[2] < 2:
            raise BadInput(
                f"The means of {len(self.labels)} labels have shape {list(shape)}.",
                "They must be (n_labels, n_layers, d_model).",
            )
        if self.counts.shape != shape[:1] or not 1 <= len(set(self.labels)) == len(self.labels) <= MAX_LABELS:
            raise BadInput(
                f"There are {len(self.labels)} labels and {len(self.counts)} counts.",
                f"There must be one count per label, and 1 to {MAX_LABELS} labels with different names.",
            )
        if not np.isfinite(self.means).all():
            raise BadDirection("The means hold NaN or infinite values.", "Leave those labels out of the file.")

    @property
    def n_layers(self) -> int:
        return int(self.means.shape[1])

    @property
    def d_model(self) -> int:
        return int(self.means.shape[2])

    def others(self, minus: str) -> tuple[str, ...]:
        """The labels that remain to be compared when the mean of `minus` is subtracted; "" subtracts nothing."""
        return tuple(label for label in self.labels if label != minus)

    def differences(self, minus: str) -> NDArray[np.float64]:
        """(n_others, n_layers, d_model) mean of each other label minus that of `minus`. Raises BadInput."""
        means = self.means.astype(np.float64)
        rows = means[[self._row(label) for label in self.others(minus)]]
        return rows - means[self._row(minus)] if minus else rows

    def cosines(self, minus: str) -> NDArray[np.float64]:
        """(n_layers, n_others, n_others) cosine between the differences of the labels; NaN where one is rounding."""
        rows = self.differences(minus).swapaxes(0, 1)
        norms = np.linalg.norm(rows, axis=-1, keepdims=True)
        if minus:
            sizes = np.linalg.norm(self.means.astype(np.float64), axis=-1)
            others = np.maximum(sizes[[self._row(label) for label in self.others(minus)]], sizes[self._row(minus)])
            norms = np.where(norms > rounding_of(others.T)[..., None], norms, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            units = rows / norms
        cosines: NDArray[np.float64] = units @ units.swapaxes(1, 2)
        return cosines

    def direction(self, label: str, *, layer: int, minus: str = OVERALL) -> Direction:
        """The direction of mean(label) − mean(minus) at one layer. Raises BadInput, BadDirection for mere rounding."""
        if not 0 <= layer < self.n_layers:
            raise BadInput(f"Layer {layer} is not in {self.name!r}.", f"Choose one of 0 to {self.n_layers - 1}.")
        raw = self.means[self._row(label), layer].astype(np.float64)
        counts = [("count", str(int(self.counts[self._row(label)])))]
        if minus:
            mean, other = raw, self.means[self._row(minus), layer].astype(np.float64)
            raw = mean - other
            size = float(max(np.linalg.norm(mean), np.linalg.norm(other)))
            check_differs(float(np.linalg.norm(raw)), size=size, name=f"{label} − {minus}")
            counts.append((f"count of {minus}", str(int(self.counts[self._row(minus)]))))
        named = f"{label} − {minus}" if minus else label
        return Direction.from_raw(
            raw,
            name=kept_line(f"{named} · {self.source_model or self.name} · layer {layer}", MAX_NAME),
            layer=layer,
            source_model=self.source_model,
            provenance=(
                ("method", "difference of imported mean vectors" if minus else "imported mean vector"),
                ("label", label),
                ("negatives", minus or "none"),
                *counts,
                ("mean vectors", self.name),
                *self.provenance,
            ),
        )

    def _row(self, label: str) -> int:
        if label not in self.labels:
            raise BadInput(f"{self.name!r} has no label {label!r}.", f"Choose one of {', '.join(self.labels)}.")
        return self.labels.index(label)


def mean_vectors_in(file: TensorFile, *, label: str) -> MeanVectors | None:
    """The set in a file of {label: {"mean": (n_layers, d_model), "count": int}}; None when it is no such file.

    A label with a NaN mean is left out and named in the provenance. Raises BadInput where the shapes do not agree.
    """
    means = {str(key[0]): a for key, a in file.arrays.items() if len(key) == 2 and key[1] == MEAN and a.ndim == 2}
    if not means or len(means) < len(file.arrays):
        return None
    shapes = sorted({str(list(array.shape)) for array in means.values()})
    if len(shapes) > 1 or next(iter(means.values())).shape[0] > MAX_LAYER:
        raise BadInput(
            f"The means in {label!r} have the shapes {', '.join(shapes[:4])}.",
            "All must be (n_layers, d_model) of one model.",
        )
    good = {name: array.astype(np.float32) for name, array in means.items() if np.isfinite(array).all()}
    if not good:
        raise BadDirection(f"Every mean in {label!r} holds NaN or infinite values.", "Compute the means again.")
    left_out = sorted(set(means) - set(good))
    counts = [_count(file, name) for name in good]
    return MeanVectors(
        name=label,
        labels=tuple(kept_line(name, MAX_NAME) or "unnamed" for name in good),
        means=np.stack(list(good.values())),
        counts=np.array(counts, np.int64),
        provenance=(("file", label), *(("left out", kept_line(f"{name}: NaN", MAX_NOTE)) for name in left_out)),
    )


def _count(file: TensorFile, name: str) -> int:
    value = next((v for key, v in file.numbers.items() if len(key) == 2 and (str(key[0]), key[1]) == (name, COUNT)), 0)
    return int(value) if math.isfinite(value) and 0 <= value < 1 << 53 else 0


def set_id_of(vectors: MeanVectors) -> str:
    """The id of a set: a digest of its labels, means and counts, as they are stored."""
    content = (vectors.labels, np.asarray(vectors.means, np.float32), np.asarray(vectors.counts, np.int64))
    return hashlib.sha256(codec.canonical_json(content)).hexdigest()[:20]


class MeanVectorFolder:
    """The mean-vector sets under `root`/mean_vectors. Safe to use from any thread."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(root).absolute() / "mean_vectors"
        self._kept = KeptFiles(
            self.folder, MeanVectors, noun="mean-vector set", again="import it again", id_of=set_id_of
        )

    def save(self, vectors: MeanVectors, *, name: str = "", source_model: str = "") -> str:
        """Keep the set under a name and the model it belongs to, and return its id. Raises UserFacingError."""
        vectors = dataclasses.replace(
            vectors,
            name=kept_line(name, MAX_NAME) or vectors.name,
            source_model=kept_line(source_model, MAX_NAME) or vectors.source_model,
        )
        set_id = set_id_of(vectors)
        self._kept.put(set_id, vectors, title=vectors.name)
        return set_id

    def list(self) -> list[Kept[MeanVectors]]:
        """The intact sets, newest first."""
        return self._kept.scan()[0]

    def broken(self) -> tuple[tuple[str, str], ...]:
        """File name and reason for every file that cannot be used; the files are left as they are."""
        return tuple(self._kept.scan()[1])

    def load(self, set_id: str) -> MeanVectors:
        """The set of the id. Raises BadInput when it is not there, or its file is damaged."""
        return self._kept.get(set_id).value

    def delete(self, set_id: str) -> None:
        """Delete a set. Raises BadInput when it is not there."""
        self._kept.delete(set_id)
