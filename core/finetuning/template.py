"""Which tokenizer and chat template the reasoning model gets, as files. Knows no weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from core.background import Tell
from core.finetuning.values import FinetuneSpec
from core.models.checkpoints import find_checkpoint
from core.models.folders import read_config
from core.models.loading import load_tokenizer
from core.text.thoughts import THINK, is_closed
from core.tokens.frames import load_frame, start_token, template_of
from core.values import ModelSpec

TEMPLATE_FILE, TOKENIZER_CONFIG = "chat_template.jinja", "tokenizer_config.json"
_COPIED = (
    *("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt"),
    *("special_tokens_map.json", "added_tokens.json"),
)
_PLAIN = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'Question: ' + message['content'] + '\\nAnswer:"
    "\\n' }}{% else %}{{ message['content'] + '\\n' }}{% endif %}{% endfor %}"
)
"""For a base model that was never told how questions look."""
_OPENS = f"{{% if add_generation_prompt %}}{{{{ '{THINK}\\n' }}}}{{% endif %}}"
_EMBEDDED = re.compile(r"demo/(seeds/\d+/)?base")


def reader_of(spec: FinetuneSpec) -> ModelSpec:
    """The model whose tokenizer and chat template are taken: the embedded base models have none of their own."""
    embedded = _EMBEDDED.fullmatch(spec.base.repo_id)
    named = spec.template or (spec.base.repo_id.removesuffix("base") + "reasoner" if embedded else "")
    return ModelSpec(repo_id=named) if named else ModelSpec(repo_id=spec.base.repo_id, revision=spec.base.revision)


def tokenizer_files(spec: FinetuneSpec, *, tell: Tell) -> Mapping[str, bytes]:
    """Name and content of the files that make the tokenizer, with a template that opens the thinking.

    Raises ModelUnavailable where the model that they are taken from cannot be used.
    """
    folder = find_checkpoint(reader_of(spec), progress=tell).tokenizer
    found = {name: (folder / name).read_bytes() for name in _COPIED if (folder / name).exists()}
    described = dict(read_config(folder / TOKENIZER_CONFIG)) if (folder / TOKENIZER_CONFIG).exists() else {}
    tokenizer = load_tokenizer(folder)
    template = template_of(tokenizer)
    if template is None:
        template = ("{{ bos_token }}" if start_token(tokenizer) else "") + _PLAIN
        tokenizer.chat_template = template
    suffix = load_frame(tokenizer).suffix
    if not is_closed(suffix) and not (THINK in suffix and THINK in template):
        template += _OPENS
    described.pop("chat_template", None)
    found[TOKENIZER_CONFIG] = json.dumps(described, indent=1, ensure_ascii=False).encode()
    return found | {TEMPLATE_FILE: template.encode()}
