"""The model hub: one commit's files, with what can go wrong in plain words.

The only module that talks to the network. No message here repeats an exception's own text, which may hold addresses
or headers.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.background import Tell
from core.errors import ModelUnavailable
from core.models.files import Tensor, read_header
from core.models.folders import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    LOADED_PATTERNS,
    MORE_TEMPLATES,
    Config,
    an_adapter,
    check_adapter_names,
    check_beside,
    check_config,
    check_folder,
    check_names,
    is_adapter,
    made_for,
    read_config,
    weight_files,
)
from core.values import ModelSpec
from core.weights import is_commit

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

IGNORED_PATTERNS = ("*/*", "consolidated*", "*.bin", "*.pt", "*.pth", "*.py")


def download(spec: ModelSpec, *, progress: Tell, adapter: bool = False) -> tuple[Path, str]:
    """(folder, commit) of the hub model `spec`, or of an adapter; without a network, the copy that is already here.

    Raises ModelUnavailable; config and file list are judged before any weights are fetched.
    """
    import huggingface_hub as hub
    from huggingface_hub import constants

    # The library's other way of fetching cannot be stopped by its progress bar.
    constants.HF_HUB_DISABLE_XET = True
    cached = _cached(spec, adapter=adapter)
    if cached is not None and is_commit(spec.revision):
        return cached, cached.name
    progress(f"Looking for {spec.repo_id} on the hub")
    try:
        info = _look_up(spec)
    except Offline:
        if cached is None:
            raise
        progress(f"The hub cannot be reached; using the copy of {spec.repo_id} on this machine")
        return cached, cached.name
    commit = str(info.sha)
    sizes = {s.rfilename: int(s.size or 0) for s in info.siblings or []}
    _judge_files(spec, info, adapter=adapter)
    wanted = _wanted(sizes)
    missing = _bytes_to_fetch(spec.repo_id, commit, {name: sizes[name] for name in wanted})
    _check_space(spec, missing)
    if missing:
        progress(f"Downloading {missing / 1e9:.1f} GB of {spec.repo_id}")
    with _plain_words(spec):
        folder = hub.snapshot_download(
            spec.repo_id,
            revision=commit,
            allow_patterns=wanted,
            tqdm_class=_bar(progress, max(missing, 1)),
        )
    return Path(folder), commit


def config_and_tensors(spec: ModelSpec) -> tuple[Config, list[Tensor]]:
    """config.json and the tensors' shapes of a hub model, without its weights; raises ModelUnavailable."""
    import huggingface_hub as hub

    try:
        info = _look_up(spec)
        commit = str(info.sha)
        _refuse_adapter(spec, info)
        with _plain_words(spec):
            config = read_config(Path(hub.hf_hub_download(spec.repo_id, "config.json", revision=commit)))
            check_config(config)
            found = hub.get_safetensors_metadata(spec.repo_id, revision=commit)
    except Offline:
        cached = _cached(spec)
        if cached is None:
            raise
        return read_config(cached / "config.json"), [t for f in weight_files(cached) for t in read_header(f)]
    files = found.files_metadata.values()
    return config, [Tensor(name=n, shape=tuple(t.shape)) for f in files for n, t in f.tensors.items()]


def adapter_files(spec: ModelSpec) -> tuple[Path, list[Tensor]]:
    """The config file and the tensors' shapes of a hub adapter, without its weights; raises ModelUnavailable."""
    import huggingface_hub as hub

    try:
        info = _look_up(spec)
        config = _judge_files(spec, info, adapter=True)
        with _plain_words(spec):
            found = hub.parse_safetensors_file_metadata(spec.repo_id, ADAPTER_WEIGHTS, revision=str(info.sha))
    except Offline:
        cached = _cached(spec, adapter=True)
        if cached is None:
            raise
        return cached / ADAPTER_CONFIG, read_header(cached / ADAPTER_WEIGHTS)
    return config, [Tensor(name=n, shape=tuple(t.shape)) for n, t in found.tensors.items()]


def _judge_files(spec: ModelSpec, info: ModelInfo, *, adapter: bool) -> Path:
    """The config file, downloaded, of a model or an adapter whose file names are those of one."""
    names = _names(info)
    if adapter:
        check_adapter_names(names, spec.repo_id)
        return _fetch(spec, info, ADAPTER_CONFIG)
    _refuse_adapter(spec, info)
    check_names(names, spec.repo_id)
    config = _fetch(spec, info, "config.json")
    check_config(read_config(config))
    return config


def _refuse_adapter(spec: ModelSpec, info: ModelInfo) -> None:
    """Raise ModelUnavailable for an adapter in a model's place, or beside its weights."""
    names = _names(info)
    if is_adapter(names):
        raise an_adapter(spec.repo_id, made_for(_fetch(spec, info, ADAPTER_CONFIG)) if ADAPTER_CONFIG in names else "")
    check_beside(names, spec)


def _names(info: ModelInfo) -> list[str]:
    return [s.rfilename for s in info.siblings or [] if "/" not in s.rfilename]


def _fetch(spec: ModelSpec, info: ModelInfo, name: str) -> Path:
    import huggingface_hub as hub

    with _plain_words(spec):
        return Path(hub.hf_hub_download(spec.repo_id, name, revision=str(info.sha)))


class Offline(ModelUnavailable):
    """The hub could not be reached."""


def _look_up(spec: ModelSpec) -> ModelInfo:
    """Commit, files and sizes; asked first because, unlike a download, it fails at once without a network."""
    import huggingface_hub as hub

    with _plain_words(spec):
        return hub.HfApi().model_info(spec.repo_id, revision=spec.revision, files_metadata=True, timeout=15)


@contextmanager
def _plain_words(spec: ModelSpec) -> Iterator[None]:
    try:
        yield
    except ModelUnavailable:
        raise
    except Exception as error:
        raise _explain(error, spec) from None


def _explain(error: Exception, spec: ModelSpec) -> ModelUnavailable:
    from huggingface_hub import errors

    page = f"https://huggingface.co/{spec.repo_id}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return ModelUnavailable(
            f"{spec.repo_id} is gated: its makers ask you to accept a licence first.",
            f"Accept it at {page}, then set the environment variable HF_TOKEN to an access token of your account.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelUnavailable(
            f"{spec.repo_id} has no revision {spec.revision!r}.", "Leave the revision empty, or copy one from the hub."
        )
    if isinstance(error, errors.LocalEntryNotFoundError | ConnectionError | TimeoutError) or _is_network(error):
        return Offline(
            f"The hub cannot be reached, and {spec.repo_id} is not on this machine.",
            "Check the network and try again, or choose the demo pair or a local folder.",
        )
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError) or status in (401, 404):
        return ModelUnavailable(
            f"There is no model {spec.repo_id!r} on the hub, or your account may not see it.",
            "Check the spelling; for a private model set the environment variable HF_TOKEN to a valid token.",
        )
    if isinstance(error, errors.NotASafetensorsRepoError | errors.EntryNotFoundError):
        return ModelUnavailable(
            f"{spec.repo_id} has no safetensors weights or no config.json.",
            "Choose a repository with config.json, tokenizer.json and *.safetensors files.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelUnavailable(
            f"The disk filled up while downloading {spec.repo_id}.",
            "Free some space, or set HF_HOME to a folder on a larger disk; the download continues where it stopped.",
        )
    return ModelUnavailable(
        f"{spec.repo_id} could not be fetched from the hub ({type(error).__name__}{f' {status}' if status else ''}).",
        "Try again in a minute; if it stays so, download the model by hand and choose its folder.",
    )


def _is_network(error: Exception) -> bool:
    """The hub's HTTP client has its own transport errors, which are none of Python's."""
    return any(c.__name__ in ("TransportError", "TimeoutException", "RequestException") for c in type(error).__mro__)


def _cached(spec: ModelSpec, *, adapter: bool = False) -> Path | None:
    """The snapshot that is already here, whole or not at all."""
    import huggingface_hub as hub

    try:
        folder = Path(
            hub.snapshot_download(
                spec.repo_id,
                revision=spec.revision,
                local_files_only=True,
                allow_patterns=list(LOADED_PATTERNS),
                ignore_patterns=list(IGNORED_PATTERNS),
            )
        )
        if adapter:
            check_adapter_names([p.name for p in folder.iterdir()], spec.name)
        else:
            check_folder(folder)
    except Exception:
        return None
    return folder


def _wanted(names: Collection[str]) -> list[str]:
    """What loading reads of a repository's files: by name, and the further chat templates."""
    flat = [n for n in names if any(fnmatch(n, p) for p in LOADED_PATTERNS)]
    flat = [n for n in flat if not any(fnmatch(n, p) for p in IGNORED_PATTERNS)]
    return flat + [n for n in names if fnmatch(n, f"{MORE_TEMPLATES}/*.jinja") and n.count("/") == 1]


def _bytes_to_fetch(repo_id: str, commit: str, sizes: dict[str, int]) -> int:
    import huggingface_hub as hub

    here = [n for n in sizes if isinstance(hub.try_to_load_from_cache(repo_id, n, revision=commit), str)]
    return sum(sizes[n] for n in set(sizes) - set(here))


def _check_space(spec: ModelSpec, needed: int) -> None:
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE)
    place = next(p for p in (place, *place.parents) if p.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ModelUnavailable(
            f"{spec.repo_id} needs {needed / 1e9:.1f} GB of disk for its files, and {free / 1e9:.1f} GB are free.",
            "Free some space, or set the environment variable HF_HOME to a folder on a larger disk.",
        )


def _bar(progress: Tell, total: int) -> Any:
    """A progress bar class that tells of all bytes written instead of drawing; what stops the telling stops them."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        written = 0

        def update(self, n: float | None = 1) -> None:
            if not str(self.desc).startswith("Reconstruct"):
                return
            self.written += int(n or 0)
            progress(f"Downloading: {self.written / 1e9:.1f} of {total / 1e9:.1f} GB", self.written / total)

        def display(self, *_: object, **__: object) -> None:
            """Draw nothing."""

    return Bar
