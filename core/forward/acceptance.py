"""Whether a loaded model is one that Retrace reads and steers rightly: measured on a short random text, once, at load.

No family is known here. The model's own forward pass is held against the way that readings and runs go through it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from core.background import Tell, silent
from core.errors import ModelUnavailable
from core.forward.fixed_fit import fits
from core.forward.hooks import record_inputs, record_residuals
from core.forward.kv_cache import keep_rows, roomy_cache
from core.forward.unembedding import logit_lens
from core.models.loaded import LoadedModel
from core.models.loaded import load_model as load_unseen
from core.values import ModelSpec, Precision, T

log = logging.getLogger(__name__)

N_TOKENS, N_PADS = 8, 3
SAME_SUMS = 1e-2
"""Of the spread of the logits or activations: what the same sums in another shape may differ by."""
OTHER_SUMS: dict[Precision, float] = {"fp32": 1e-3, "bf16": 0.2, "nf4": 0.2, "int8": 0.4}
"""As above, of sums in another order; int8 rounds a row by what else is in its batch."""
ONE_THREAD_BELOW = 1_000_000_000
"""Parameters of a model whose few tokens are read by one thread: several wait for each other beside other work."""

_OTHER = "Choose another model: this architecture is not read rightly yet."


def accept(loaded: LoadedModel) -> None:
    """Raise ModelUnavailable with the reason where a reading or a steered run of this model would be wrong.

    Finite logits; the logits of the recorded stream, through final norm and head, are the model's own; what a block
    gives is what the next one is given; a padded row of a batch, with cached keys and values, is the text alone. On a
    card it is also found out whether decode steps can be fixed ones, so that no run waits for that.
    """
    threads = torch.get_num_threads()
    if sum(p.numel() for p in loaded.model.parameters()) < ONE_THREAD_BELOW:
        torch.set_num_threads(1)
    try:
        with loaded.lock, torch.inference_mode():
            ids = _random_text(loaded)
            own = _tried(loaded, lambda: _check_streams(loaded, ids))
            _tried(loaded, lambda: _check_batch(loaded, ids, own))
        if loaded.device.type == "cuda":
            fits(loaded)
    finally:
        torch.set_num_threads(threads)


def load_model(spec: ModelSpec, *, progress: Tell = silent, frame_from: LoadedModel | None = None) -> LoadedModel:
    """`core.models.loaded.load_model`, and `accept` on what it loaded. Raises as both do."""
    loaded = load_unseen(spec, progress=progress, frame_from=frame_from)
    accept(loaded)
    return loaded


def _tried(loaded: LoadedModel, check: Callable[[], T]) -> T:
    """What the check returns; what a model's own code raises becomes a refusal."""
    try:
        return check()
    except (ModelUnavailable, torch.OutOfMemoryError):
        raise
    except Exception as error:
        log.warning("%s cannot read a short text", loaded.name, exc_info=True)
        raise _refused(loaded, f"a short text ends in an error of its own ({type(error).__name__})", _OTHER) from error


def _check_streams(loaded: LoadedModel, ids: Tensor) -> Tensor:
    """(seq, d_vocab) the model's own logits of one text."""
    streams: dict[int, Tensor] = {}
    inputs: dict[int, Tensor] = {}
    layers = range(loaded.n_layers)
    with record_residuals(loaded, layers, streams.__setitem__), record_inputs(loaded, layers, inputs.__setitem__):
        own: Tensor = loaded.model(input_ids=ids[None], use_cache=False).logits[0].float()
    if not torch.isfinite(own).all():
        raise _refused(loaded, "its logits hold NaN or infinite values", "Its weights are damaged: fetch them again.")
    read = logit_lens(loaded, streams[loaded.n_layers - 1])[0]
    _same(loaded, read, own, "its last block, final norm and unembedding do not give its logits")
    for layer in layers[1:]:
        _same(loaded, streams[layer - 1], inputs[layer], "what its blocks give is not what the next block is given")
    return own


def _check_batch(loaded: LoadedModel, ids: Tensor, own: Tensor) -> None:
    """Two rows, the second one padded and a little shorter; its last token is read by itself, after the first row left.

    Causal attention makes its logits those of the text alone.
    """
    n, pads = len(ids), min(N_PADS, len(ids) - 2)
    mask = torch.ones(2, n, dtype=torch.int64, device=ids.device)
    mask[1, :pads] = 0
    rows, positions = torch.stack([ids, ids.roll(pads)]) * mask, (mask.cumsum(-1) - 1).clamp(min=0)
    cache, within = roomy_cache(loaded.model.config), OTHER_SUMS[loaded.spec.precision]

    def read(kept: list[int], start: int, stop: int) -> Tensor:
        found: Tensor = loaded.model(
            input_ids=rows[kept, start:stop],
            position_ids=positions[kept, start:stop],
            attention_mask=mask[kept, :stop],
            past_key_values=cache,
            use_cache=True,
        ).logits
        return found.float()

    batched = read([0, 1], 0, n - 1)
    for row, begin in enumerate((0, pads)):
        expected = own[: n - 1 - begin]
        _same(loaded, batched[row, begin:], expected, "a text in a batch is read otherwise than alone", within=within)
    keep_rows(cache, torch.tensor([1], device=ids.device))
    last = read([1], n - 1, n)[0, -1]
    cached = "with cached keys and values it predicts other tokens than without"
    _same(loaded, last, own[n - 1 - pads], cached, within=within)


def _random_text(loaded: LoadedModel) -> Tensor:
    """(seq,) token ids, the same for every load; without the special ones, which some models treat apart."""
    special = loaded.tokenizer.added_tokens_decoder
    known = [i for i in range(min(loaded.d_vocab, len(loaded.tokenizer))) if i not in special]
    seeded = torch.Generator().manual_seed(0)
    places = torch.randint(0, len(known), (min(N_TOKENS, loaded.context_length),), generator=seeded)
    return torch.tensor(known)[places].to(loaded.device)


def _same(loaded: LoadedModel, found: Tensor, expected: Tensor, reason: str, *, within: float = SAME_SUMS) -> None:
    """Compared up to a share of the expected values' spread."""
    found, expected = found.float(), expected.float().to(found.device)
    spread = (expected - expected.mean()).abs().max().clamp(min=1e-6)
    if not float((found - expected).abs().max()) <= within * float(spread):
        raise _refused(loaded, reason, _OTHER)


def _refused(loaded: LoadedModel, reason: str, remedy: str) -> ModelUnavailable:
    return ModelUnavailable(f"{loaded.name} cannot be used: {reason}.", remedy)
