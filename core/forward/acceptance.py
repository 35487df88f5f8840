"""Whether a loaded model is one that Retrace reads and steers rightly: measured on a short random text, once, at load.

No family is known here. The model's own forward pass is held against the way that readings and runs go through it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.errors import ModelUnavailable
from core.forward.hooks import record_residuals
from core.forward.kv_cache import roomy_cache
from core.forward.unembedding import logit_lens
from core.models.loaded import LoadedModel, set_threads

N_TOKENS, N_PADS = 12, 3
TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 8e-2, torch.float16: 2e-2}
"""Of the spread of the logits or activations: what two orders of the same sums may differ by."""

_OTHER = "Choose another model: this architecture is not read rightly yet."


def accept(loaded: LoadedModel) -> None:
    """Raise ModelUnavailable with the reason where a reading or a steered run of this model would be wrong.

    Finite logits; the logits of the recorded stream, through final norm and head, are the model's own; the recorded
    stream is the one that the model says it has; a padded row of a batch, with cached keys and
    values, is the text alone.
    """
    threads = torch.get_num_threads()
    set_threads(loaded)
    try:
        with loaded.lock, torch.inference_mode():
            ids = _random_text(loaded)
            own = _try(loaded, lambda: _check_streams(loaded, ids))
            _try(loaded, lambda: _check_batch(loaded, ids, own))
    finally:
        torch.set_num_threads(threads)


def _try(loaded: LoadedModel, check: Callable[[], Tensor]) -> Tensor:
    """What the check returns; what a model's own code raises becomes a refusal."""
    try:
        return check()
    except (ModelUnavailable, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise _refused(loaded, f"a short text ends in an error of its own ({type(error).__name__})", _OTHER) from error


def _check_streams(loaded: LoadedModel, ids: Tensor) -> Tensor:
    """(seq, d_vocab) the model's own logits of one text."""
    streams: dict[int, Tensor] = {}
    with record_residuals(loaded, range(loaded.n_layers), streams.__setitem__):
        output = loaded.model(input_ids=ids[None], use_cache=False, output_hidden_states=True)
    own: Tensor = output.logits[0].float()
    if not torch.isfinite(own).all():
        raise _refused(loaded, "its logits hold NaN or infinite values", "Its weights are damaged: fetch them again.")
    read = logit_lens(loaded, streams[loaded.n_layers - 1])[0]
    _same(loaded, read, own, "its last block, final norm and unembedding do not give its logits")
    stated = output.hidden_states
    if stated is not None and len(stated) == loaded.n_layers + 1:
        for layer in range(loaded.n_layers - 1):
            reason = "the outputs of its blocks are not the residual stream that it states"
            _same(loaded, streams[layer], stated[layer + 1], reason)
    return own


def _check_batch(loaded: LoadedModel, ids: Tensor, own: Tensor) -> Tensor:
    """Two rows, the second padded, all but the last token cached; the second is read alone for comparison."""
    n, pads = len(ids), min(N_PADS, len(ids) - 2)
    rows, mask = torch.stack([ids, ids]), torch.ones(2, n, dtype=torch.int64, device=ids.device)
    rows[1, :pads], mask[1, :pads] = 0, 0
    positions = (torch.arange(n, device=ids.device) - torch.tensor([[0], [pads]], device=ids.device)).clamp(min=0)
    cache = roomy_cache(loaded.model.config)
    found: list[Tensor] = []
    for start, stop in ((0, n - 1), (n - 1, n)):
        found.append(
            loaded.model(
                input_ids=rows[:, start:stop],
                position_ids=positions[:, start:stop],
                attention_mask=mask[:, :stop],
                past_key_values=cache,
                use_cache=True,
            ).logits.float()
        )
    alone = loaded.model(input_ids=ids[None, pads:], use_cache=False).logits[0].float()
    cache.batch_select_indices(torch.tensor([1], device=ids.device))
    prefill, step = found
    _same(loaded, prefill[0], own[:-1], "a text in a batch is read otherwise than alone")
    _same(loaded, prefill[1, pads:], alone[:-1], "a text in a batch is read otherwise than alone")
    for row, expected in enumerate((own, alone)):
        _same(loaded, step[row, -1], expected[-1], "with cached keys and values it predicts other tokens than without")
    return step


def _random_text(loaded: LoadedModel) -> Tensor:
    """(seq,) token ids, the same for every load; without the special ones, which some models treat apart."""
    special = loaded.tokenizer.added_tokens_decoder
    known = [i for i in range(min(loaded.d_vocab, len(loaded.tokenizer))) if i not in special]
    places = torch.randint(0, len(known), (min(N_TOKENS, loaded.context_length),), generator=_seeded())
    return torch.tensor(known)[places].to(loaded.device)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _same(loaded: LoadedModel, found: Tensor, expected: Tensor, reason: str) -> None:
    """Compared up to a share of the expected values' spread."""
    found, expected = found.float(), expected.float().to(found.device)
    spread = (expected - expected.mean()).abs().max().clamp(min=1e-6)
    tolerance = TOLERANCES.get(loaded.compute_dtype, TOLERANCES[torch.bfloat16])
    if not float((found - expected).abs().max()) <= tolerance * float(spread):
        raise _refused(loaded, reason, _OTHER)


def _refused(loaded: LoadedModel, reason: str, remedy: str) -> ModelUnavailable:
    return ModelUnavailable(f"{loaded.name} cannot be used: {reason}.", remedy)
