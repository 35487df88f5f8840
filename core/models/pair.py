"""The one pair of models in memory: loading it, its facts, and texts in its tokenizers.

Importing it costs no torch; loading does, and happens on a thread of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from core import settings
from core.background import Background, Errand
from core.errors import ModelUnavailable, not_loaded
from core.jobs import Progress
from core.memory.resident import Moves, OneCard, in_turn
from core.tokens.frames import Arguments, ChatFrame, Template, read_template, start_token
from core.values import ModelSpec, PairSpec, Prompt, T
from core.weights import Place, names_weights

if TYPE_CHECKING:
    from core.models.both import Room
    from core.models.loaded import LoadedModel
    from core.tokens.encoding import Reading
    from core.tokens.keywords import KeywordForms
    from core.tokens.readers import Readers

Accept = Callable[["LoadedModel"], None]
Role = Literal["base", "reasoner"]
ROLES: tuple[Role, Role] = ("base", "reasoner")
DEMO_PAIR = PairSpec(base=ModelSpec(repo_id="demo/base"), reasoner=ModelSpec(repo_id="demo/reasoner"))


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What pages need to know of a loaded model."""

    spec: ModelSpec
    fingerprint: str
    name: str
    n_layers: int
    d_model: int
    d_vocab: int
    context_length: int
    kv_bytes: int = 0
    """Of the keys and values that one token takes in memory; 0: not known."""
    former: Place | None = None
    """How the model was keyed before its content named it."""
    card: str = ""

    def has_weights(self, fingerprint: str) -> bool:
        """Whether a fingerprint, of now or of before, names this model."""
        return names_weights(fingerprint, self.fingerprint, self.former)


def are_of(fingerprints: tuple[str, str], pair: tuple[ModelFacts, ModelFacts]) -> bool:
    """Whether (base, reasoner) fingerprints, of now or of before, name these models."""
    return all(facts.has_weights(named) for named, facts in zip(fingerprints, pair, strict=True))


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """What is in memory, replaced as a whole."""

    spec: PairSpec
    models: dict[Role, LoadedModel]
    facts: dict[Role, ModelFacts]
    readers: Readers
    card: OneCard | None
    """Where the two share a card; `asked` says whether they were asked to."""
    asked: bool


class PairHolder:
    """At most one pair. Reading is safe from any thread; the models themselves belong to the engine's.

    `accept` looks at each model that was loaded, and raises ModelUnavailable where it cannot be used.
    """

    def __init__(self, accept: Accept = lambda _: None) -> None:
        self._accept = accept
        self._pair: _Pair | None = None
        self._devices: tuple[str, ...] = ()
        self._is_loading = False
        self._background = Background("retrace-load", clean=_free_memory)

    @property
    def devices(self) -> tuple[str, ...]:
        """What models can run on here, best first; empty until the first load has imported torch."""
        return self._devices

    @property
    def spec(self) -> PairSpec | None:
        """The pair in memory, or None."""
        return self._pair.spec if self._pair else None

    def facts(self, role: Role) -> ModelFacts:
        """Facts of a loaded model. Raises ModelUnavailable while no pair is loaded."""
        return self._now().facts[role]

    @property
    def looks_swapped(self) -> bool:
        """Whether only the base model has a chat template, which the model that is finetuned to answer needs."""
        return bool(self._model("base").tokenizer.chat_template and not self._model("reasoner").tokenizer.chat_template)

    def readers(self, frame: ChatFrame | None = None) -> Readers:
        """Tokenizers and frames of the pair, compared; `frame` takes the place of the reasoning model's own.

        Raises ModelUnavailable while no pair is loaded.
        """
        found = self._now().readers
        if frame is None:
            return found
        return replace(found, reasoner_frame=self._frame("reasoner", frame), base_frame=self._frame("base", frame))

    def template(self, told: Arguments | None = None) -> Template:
        """The reasoning model's chat template, told what is given. Raises BadInput for what it cannot be told."""
        return read_template(self._model("reasoner").tokenizer, told)

    def encode(self, role: Role, question: str, *, frame: ChatFrame | None = None) -> Prompt:
        """The question as the model of that role reads it. Raises BadInput for an empty or overlong one.

        `frame` takes the place of the reasoning model's own; the base model reads it without control tokens. A raw
        frame is the question alone, for both.
        """
        return self._model(role).encoder.prompt(self._frame(role, frame), question)

    def frame(self, role: Role) -> ChatFrame:
        """The text around every question, as the model of that role reads it."""
        return self._model(role).frame

    def _frame(self, role: Role, frame: ChatFrame | None) -> ChatFrame:
        """A frame of the reasoning model as the model of that role reads it."""
        from core.models.loaded import base_frame

        loaded = self._model(role)
        if frame is None:
            return loaded.frame
        if frame.source == "raw":
            return replace(frame, prefix=start_token(loaded.tokenizer), suffix="")
        if role == "base":
            return base_frame(loaded.spec, loaded.tokenizer, self._model("reasoner"), frame)
        return frame

    def continuation(self, role: Role, text: str) -> tuple[int, ...]:
        """Token ids of answer text by itself. Raises BadInput for characters that are none."""
        loaded = self._model(role)
        return loaded.encoder.continuation(text, thoughts=loaded.frame.source != "plain")

    def read(self, role: Role, question: str, text: str, *, frame: ChatFrame | None = None) -> Reading:
        """Token ids and character spans of a text after its question, which may be empty: plain text has none.

        `frame` as for `encode`. Raises BadInput where question or text is unfit.
        """
        return self._model(role).encoder.reading(self._frame(role, frame), question, text)

    def locate(self, role: Role, question: str, text: str) -> Reading:
        """As `read`, for looking at the tokens alone: the text may be longer than the context."""
        loaded = self._model(role)
        return loaded.encoder.reading(loaded.frame, question, text, limited=False)

    def keyword_forms(self, role: Role, keywords: tuple[str, ...]) -> KeywordForms:
        """How that model's tokenizer writes the keywords. Raises BadInput where none of them can be counted."""
        return self._model(role).keyword_forms(keywords)

    def pieces(self, role: Role, token_ids: tuple[int, ...]) -> tuple[str, ...]:
        """One text piece per token id."""
        from core.models.loaded import pieces

        return pieces(self._model(role), token_ids)

    def model_of(self, spec: ModelSpec, fingerprint: str) -> LoadedModel:
        """The loaded model of exactly these weights, wherever they lie. Raises ModelUnavailable: not in memory."""
        same = [m for m in self._models() if m.spec.precision == spec.precision and m.has_weights(fingerprint)]
        if not same:
            raise not_loaded(spec.name)
        found = next((loaded for loaded in same if loaded.spec == spec), same[0])
        found.lock.expect()
        return found

    def role_of(self, spec: ModelSpec, fingerprint: str) -> Role | None:
        """Which of the loaded models these weights are, if any."""
        facts = self._pair.facts if self._pair else {}
        found = [r for r, f in facts.items() if f.spec.precision == spec.precision and f.has_weights(fingerprint)]
        return next((role for role in found if facts[role].spec == spec), found[0] if found else None)

    def in_turn(self, work: Generator[Progress, None, T]) -> Generator[Progress, None, T]:
        """The work of a job, each step of it with its model on the card, where the two share one."""
        return in_turn(work, lambda: self._pair.card if self._pair else None)

    @property
    def moves(self) -> Moves | None:
        """How the two models share a card; None where both have room."""
        return self._pair.card.moves if self._pair and self._pair.card else None

    def holds(self, pair: PairSpec) -> bool:
        """Whether that pair is in memory, by the name that it was loaded by or at the commits that were loaded."""
        now = self._pair
        return now is not None and pair in (now.spec, PairSpec(**{role: f.spec for role, f in now.facts.items()}))

    def loaded(self) -> tuple[ModelFacts, ...]:
        """Facts of the models in memory, if any."""
        return tuple(self._pair.facts.values()) if self._pair else ()

    def load(self, pair: PairSpec, *, one_at_a_time: bool | None = None) -> Generator[Progress, None, PairSpec]:
        """Replace the pair in memory; other jobs go on meanwhile, those on the old pair until it is replaced.

        The old pair stays where both fit into memory, also when the new one cannot be loaded; else it is released
        first. Its models share a graphics card where they are asked to (None: as the environment says), or have no room
        there together. A second load waits for the first. Raises ModelUnavailable or OutOfMemory.
        """
        asked = settings.one_at_a_time() if one_at_a_time is None else one_at_a_time
        while self._is_loading:
            yield Progress(0, 0, "waiting for another load to end", waiting=True)
        self._is_loading = True
        try:
            if self._pair and self.holds(pair) and one_at_a_time in (None, self._pair.asked):
                return pair
            room = yield from self._background.follow(partial(_prepare, pair, self._models(), asked))
            self._devices = room.devices
            if not room.keeps_old:
                yield from self._replace(None)
            loading = partial(_load, pair, self._accept, bool(self._pair), asked, room.one_card)
            new = yield from self._background.follow(loading)
            yield from self._replace(new)
            return pair
        finally:
            self._is_loading = False

    def release(self) -> Generator[Progress, None, None]:
        """Have no pair in memory."""
        return self._replace(None)

    def memory_taken(self, device: str) -> int:
        """Bytes on the device that releasing the loaded pair would free."""
        if not self._pair:
            return 0
        from core.models.both import taken

        return taken(self._models(), device)

    def check_clean(self) -> None:
        """Assert that no hook hangs on a loaded model."""
        for loaded in self._models():
            from core.models.loaded import hook_count

            assert (count := hook_count(loaded)) == 0, f"{count} hooks were left on {loaded.name}"

    def _replace(self, new: _Pair | None) -> Generator[Progress, None, None]:
        """Put another pair, or none, in the place of the old one, whose jobs get one step in which to end."""
        from core.models.loaded import set_threads, unload

        old, card, self._pair = self._models(), self._pair.card if self._pair else None, new
        if new is not None:
            set_threads(new.models["reasoner"])
        try:
            for loaded in old:
                loaded.lock.close(loaded.name)
                yield Progress(0, 0, f"releasing {loaded.name}")
        finally:
            if card is not None:
                card.close()
            for loaded in old:
                unload(loaded)

    def _now(self) -> _Pair:
        if self._pair is None:
            raise ModelUnavailable("No model is loaded yet.", "Wait for the load to end, or load a pair.")
        return self._pair

    def _models(self) -> tuple[LoadedModel, ...]:
        return tuple(self._pair.models.values()) if self._pair else ()

    def _model(self, role: Role) -> LoadedModel:
        return self._now().models[role]


def _prepare(pair: PairSpec, old: Sequence[LoadedModel], asked: bool, errand: Errand) -> Room:
    """As `core.models.both.prepare_pair`, which imports torch."""
    errand.tell("importing torch and transformers")
    from core.models.both import prepare_pair

    return prepare_pair(pair, old, one_at_a_time=asked, errand=errand)


def _load(pair: PairSpec, accept: Accept, is_beside: bool, asked: bool, one_card: bool, errand: Errand) -> _Pair:
    """As `core.models.both.load_both`, with what pages need to know."""
    from core.models.both import load_both

    models, readers, card = load_both(pair, accept, is_beside=is_beside, one_card=one_card, errand=errand)
    facts = {r: ModelFacts(**{f.name: getattr(m, f.name) for f in fields(ModelFacts)}) for r, m in models.items()}
    return _Pair(spec=pair, models=models, facts=facts, readers=readers, card=card, asked=asked)


def _free_memory() -> None:
    if loading := sys.modules.get("core.models.loading"):
        loading.free_memory()
