"""What identifies a model: a digest of its content, and how it was named before, by its place. No torch, no disk.

A fingerprint is "weights:" and a sha256 over the model's weights, tokenizer and settings; of a model with an adapter,
both with a plus between them. Fingerprints of before were a digest over all files of a folder, or a hub id and its
commit. Results, directions and plans that name those are still found and taken for the same weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from typing import Protocol

from core.values import BY_CONTENT, Formerly, ModelSpec, is_content

_WITH_ADAPTER = "+"
"""Between the fingerprints of a model and of its adapter; neither a digest nor a hub id holds it."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
PACKAGES = ("torch", "transformers")
"""Whose versions are told beside results."""
DEVICES = ("cpu", "cuda", "mps")
"""On which results of before may have been measured: keys named the device then."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """How a model was keyed before: by where its files are, its device, and a fingerprint of that time."""

    model: ModelSpec
    fingerprint: str


def content_fingerprint(digest: str) -> str:
    """What identifies a model whose content has this sha256 (64 hex digits)."""
    return BY_CONTENT + digest


def hub_fingerprint(spec: ModelSpec, commit: str) -> str:
    """What identified a model of the hub before: its id and the commit that was loaded."""
    return f"{spec.repo_id}@{commit}"


def merged_fingerprint(base: str, adapter: str) -> str:
    """What identifies a model with an adapter merged into it: both fingerprints."""
    return f"{base}{_WITH_ADAPTER}{adapter}"


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a commit, which no one can move."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def commit_of(spec: ModelSpec, fingerprint: str) -> str | None:
    """The commit that was loaded of a hub model; None for a folder, which has a digest of its files instead."""
    return _commit(spec.repo_id, spec.revision, fingerprint.partition(_WITH_ADAPTER)[0])


def adapter_commit_of(spec: ModelSpec, fingerprint: str) -> str | None:
    """The same of the adapter; None where there is none."""
    return _commit(spec.adapter, spec.adapter_revision, fingerprint.partition(_WITH_ADAPTER)[2])


def _commit(name: str | None, revision: str | None, fingerprint: str) -> str | None:
    if is_content(fingerprint):
        return revision if is_commit(revision) else None
    repo_id, at, commit = fingerprint.rpartition("@")
    return commit if at and repo_id == name else None


def names_weights(fingerprint: str, now: str, before: Place | None) -> bool:
    """Whether a fingerprint of now or of before names the model whose fingerprint is `now`."""
    return fingerprint != "" and fingerprint in (now, before.fingerprint if before else now)


@cache
def version(package: str) -> str:
    """The installed version of a package."""
    return metadata.version(package)


class Known(Protocol):
    """What must be known of a loaded model, such as its ModelFacts."""

    @property
    def spec(self) -> ModelSpec: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def former(self) -> Place | None: ...
    @property
    def card(self) -> str: ...


def formerly(models: Iterable[Known]) -> tuple[Formerly, ...]:
    """For `canonical`: the keys that these models' results had before, on the device of now first, then on others."""
    places = {one.fingerprint: one.former for one in models if one.former is not None}
    asked = {now: (place.model, place.fingerprint) for now, place in places.items()}
    moved = [
        {now: (replace(model, device=device), before) for now, (model, before) in asked.items()} for device in DEVICES
    ]
    return (asked, *moved) if asked else ()


def measured_by(models: Sequence[Known]) -> dict[str, str]:
    """What results of these models are measured on: shown beside them, and a part of no key."""
    if not models:
        return {}
    found = {"device": ", ".join(dict.fromkeys(one.spec.device for one in models))}
    cards = dict.fromkeys(one.card for one in models if one.card)
    found |= {"card": ", ".join(cards)} if cards else {}
    for number, one in enumerate(models, start=1):
        at = f"@{one.spec.revision}" if one.spec.revision else ""
        found[f"model {number}"] = f"{one.spec.repo_id}{at}"
    return found | {name: version(name) for name in PACKAGES}
