"""What a finetune is asked for and what it gives: recipe, losses, sample texts. No torch, no disk."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace

from core.errors import BadInput
from core.values import ModelSpec, PairSpec

MAX_PARAMS = 1_300_000_000
"""Of a base model that is finetuned here."""
SMALL_MODEL = 20_000_000
LEAST_TRACES = 20
MAX_RANK, MAX_STEPS, MAX_BATCH, MAX_LENGTH = 256, 100_000, 1 << 20, 1 << 15
NAME_LENGTH = 60


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an adapter is trained; the same recipe on the same weights and traces gives the same adapter."""

    rank: int = 16
    alpha: float = 32.0
    """The product of the factors counts alpha / rank."""
    targets: tuple[str, ...] = ()
    """Ends of the names of the linear maps that are changed, as "q_proj"; () for all of every block."""
    steps: int = 200
    rate: float = 1e-3
    """Learning rate at its highest: it rises over `warmup` steps, then falls as a cosine to nothing."""
    warmup: int = 10
    batch_tokens: int = 6144
    """Tokens of a step, questions included."""
    max_tokens: int = 768
    """Of one trace with its question; what is longer is cut."""
    held_out: float = 0.05
    """Share of the questions that nothing is learned of."""
    seed: int = 0
    """Of the factors, the order of the traces, what is held out, and the sample texts."""
    every: int = 25
    """Steps from one checkpoint to the next."""

    def __post_init__(self) -> None:
        _check("rank", self.rank, 1, MAX_RANK)
        _check("number of steps", self.steps, 1, MAX_STEPS)
        _check("number of warm-up steps", self.warmup, 0, MAX_STEPS)
        _check("number of tokens in a batch", self.batch_tokens, 16, MAX_BATCH)
        _check("number of tokens of a trace", self.max_tokens, 16, MAX_LENGTH)
        _check("number of steps between checkpoints", self.every, 1, MAX_STEPS)
        _check("seed", self.seed, 0, 2**31 - 1)
        _check("alpha", self.alpha, 1e-3, 1e5)
        _check("learning rate", self.rate, 1e-8, 1.0)
        _check("held-out share", self.held_out, 0.0, 0.5)
        if any(not name.strip() for name in self.targets):
            raise BadInput("One of the names of linear maps is empty.", "Write names such as q_proj,v_proj.")

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by."""
        return self.alpha / self.rank

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * 0.5 * (1 + math.cos(math.pi * done))


def _check(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInput(f"The {what} is {value:,g}.", f"Choose it from {low:,g} to {high:,g}.")


def usual_recipe(n_params: int) -> Recipe:
    """What suits a base model of so many weights: a small one learns fast, and in few tokens."""
    if n_params < SMALL_MODEL:
        return Recipe(rate=6e-3, steps=150, batch_tokens=4096, every=15)
    return Recipe()


@dataclass(frozen=True, kw_only=True)
class FinetuneSpec:
    """A finetune: which base model learns from which traces by which recipe."""

    name: str
    base: ModelSpec
    traces: str
    """What the traces are called."""
    traces_digest: str
    recipe: Recipe = field(default_factory=Recipe)
    template: str = ""
    """A model whose tokenizer and chat template the reasoning model gets; "" for those of the base model, if any."""

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > NAME_LENGTH or not self.name.isprintable() or "/" in self.name:
            raise BadInput(
                f"{self.name[:NAME_LENGTH]!r} is no name for a finetune.",
                f"Write up to {NAME_LENGTH} characters, without a slash.",
            )
        if self.base.adapter:
            raise BadInput(
                f"{self.base.name} has an adapter already.",
                "Choose a base model without one; an adapter is trained on whole weights.",
            )
        if self.base.precision not in ("fp32", "bf16"):
            raise BadInput(
                f"A base model in {self.base.precision} is not finetuned.", "Choose fp32, or bf16 for half the memory."
            )

    def pair(self, adapter: str) -> PairSpec:
        """The base model, and the same with the adapter of that folder."""
        return PairSpec(base=self.base, reasoner=replace(self.base, adapter=adapter))

    @property
    def asked(self) -> dict[str, object]:
        """All that the adapter depends on beside the weights' and traces' content, as JSON."""
        recipe = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.recipe).items()}
        computed = {"precision": self.base.precision, "device": self.base.device.partition(":")[0]}
        return {**computed, "traces": self.traces_digest, "template": self.template, "recipe": recipe}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the model wrote after so many steps."""

    step: int
    question: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a finetune went so far."""

    step: int = 0
    """Steps that are done."""
    losses: tuple[float, ...] = ()
    """(step,) nats a token of the reasoning, each on the step's own batch before it was learned from."""
    held_out: tuple[tuple[int, float], ...] = ()
    """(steps done, nats a token) on the traces that nothing is learned of."""
    samples: tuple[Sample, ...] = ()
    looked: int = -1
    """Step at which held-out loss and samples were taken last."""
    seconds: float = 0.0
    """Spent on the steps, over all sittings."""
    n_traces: int = 0
    n_held_out: int = 0
    n_left_out: int = 0
    """Traces without a question, or without reasoning that fits."""
    n_tokens: int = 0
    """Tokens of reasoning in the traces that are learned from."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a finetune takes, as estimated before it begins."""

    memory_bytes: int
    """With the weights of the base model."""
    free_bytes: int
    disk_bytes: int
    seconds: float
    n_params: int
    n_trained: int
    """Numbers of the adapter."""


@dataclass(frozen=True, kw_only=True)
class Finetuned:
    """A finetune as it stands in its folder."""

    spec: FinetuneSpec
    folder: str
    course: Course
    finished: bool

    @property
    def pair(self) -> PairSpec:
        """The pair that it makes; only a finished one can be loaded."""
        return self.spec.pair(self.folder)
