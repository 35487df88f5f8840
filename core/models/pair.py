"""The one pair of models in memory: loading it, its facts, and texts in its tokenizers.

Importing it costs no torch; loading does, and happens on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from core.errors import ModelUnavailable
from core.jobs import Progress
from core.models.frames import Arguments, ChatFrame, Template, read_template, start_token
from core.values import ModelSpec, PairSpec, Prompt

if TYPE_CHECKING:
    from core.models.encoding import Reading
    from core.models.keywords import KeywordForms
    from core.models.loaded import LoadedModel
    from core.models.readers import Readers

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


class PairHolder:
    """At most one pair. Reading is safe from any thread; loading and the models themselves belong to the engine's."""

    def __init__(self) -> None:
        self._loaded: dict[Role, LoadedModel] = {}
        self._facts: dict[Role, ModelFacts] = {}
        self._readers: Readers | None = None
        self._devices: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """What models can run on here, best first; empty until the first load has imported torch."""
        return self._devices

    @property
    def spec(self) -> PairSpec | None:
        """The pair in memory, or None."""
        facts = self._facts
        return PairSpec(base=facts["base"].spec, reasoner=facts["reasoner"].spec) if len(facts) == 2 else None

    def facts(self, role: Role) -> ModelFacts:
        """Facts of a loaded model. Raises ModelUnavailable while no pair is loaded."""
        facts = self._facts.get(role)
        if facts is None:
            raise ModelUnavailable("No model is loaded yet.", "Wait for the load to end, or load a pair.")
        return facts

    def readers(self, frame: ChatFrame | None = None) -> Readers:
        """Tokenizers and frames of the pair, compared; `frame` takes the place of the reasoning model's own.

        Raises ModelUnavailable while no pair is loaded.
        """
        self.facts("base")
        assert self._readers is not None, "a loaded pair has readers"
        if frame is None:
            return self._readers
        return replace(
            self._readers, reasoner_frame=self._frame("reasoner", frame), base_frame=self._frame("base", frame)
        )

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
        """The loaded model of exactly these weights. Raises ModelUnavailable when it is not in memory."""
        for loaded in self._loaded.values():
            if loaded.spec == spec and loaded.fingerprint == fingerprint:
                return loaded
        raise ModelUnavailable(f"{spec.name} is not loaded any more.", "Load its pair in the sidebar, then run again.")

    def load(self, pair: PairSpec) -> Generator[Progress, None, PairSpec]:
        """Replace the pair in memory, the old one being released first. Raises ModelUnavailable or OutOfMemory."""
        yield Progress(0, 4, "importing torch and transformers")
        from core.models.loaded import load_model, set_threads
        from core.models.loading import present_devices
        from core.models.readers import readers_of

        self._devices = present_devices()
        if self.spec == pair:
            return pair
        self._release()
        yield Progress(1, 4, f"loading {pair.reasoner.name}")
        reasoner = load_model(pair.reasoner)
        yield Progress(2.5, 4, f"loading {pair.base.name}")
        base = load_model(pair.base, frame_from=reasoner)
        if (base.d_model, base.n_layers) != (reasoner.d_model, reasoner.n_layers):
            raise ModelUnavailable(
                f"{base.name} has {base.n_layers} layers of width {base.d_model}, {reasoner.name} has "
                f"{reasoner.n_layers} of width {reasoner.d_model}: they are not a base model and its finetune.",
                "Choose the base model that the reasoning model was finetuned from.",
            )
        set_threads(reasoner)
        self._readers = readers_of(base, reasoner)
        self._loaded = {"base": base, "reasoner": reasoner}
        self._facts = {"base": _facts_of(base), "reasoner": _facts_of(reasoner)}
        return pair

    def check_clean(self) -> None:
        """Assert that no hook hangs on a loaded model."""
        if not self._loaded:
            return
        from core.models.loaded import hook_count

        for loaded in self._loaded.values():
            count = hook_count(loaded)
            assert count == 0, f"{count} hooks were left on {loaded.name}"

    def _release(self) -> None:
        from core.models.loaded import unload

        old, self._loaded, self._facts = self._loaded, {}, {}
        for loaded in old.values():
            unload(loaded)

    def _model(self, role: Role) -> LoadedModel:
        self.facts(role)
        return self._loaded[role]


def _facts_of(loaded: LoadedModel) -> ModelFacts:
    return ModelFacts(
        spec=loaded.spec,
        fingerprint=loaded.fingerprint,
        name=loaded.name,
        n_layers=loaded.n_layers,
        d_model=loaded.d_model,
        d_vocab=loaded.d_vocab,
        context_length=loaded.context_length,
    )
