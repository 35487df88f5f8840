"""Everything that is set from outside: the environment variables, what each means, and the project's own folder.

Nothing is read at import. Keys (HF_TOKEN, RETRACE_JUDGE_KEY) are only named here; who needs one reads it itself.
"""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

CACHE = "RETRACE_CACHE"
STORE = "RETRACE_STORE_GB"
PAIR, PRECISION, DEVICE = "RETRACE_PAIR", "RETRACE_PRECISION", "RETRACE_DEVICE"
ONE_AT_A_TIME = "RETRACE_ONE_AT_A_TIME"
BUNDLE = "RETRACE_BUNDLE"
MODEL_ROOTS, DATA_ROOTS = "RETRACE_MODEL_ROOTS", "RETRACE_DATA_ROOTS"
THREADS = "OMP_NUM_THREADS"
PASSWORD, HOSTS = "RETRACE_PASSWORD", "RETRACE_HOSTS"
JUDGE_URL, JUDGE_MODEL, JUDGE_KEY = "RETRACE_JUDGE_URL", "RETRACE_JUDGE_MODEL", "RETRACE_JUDGE_KEY"

MADE = ("models", "finetunes")
"""Folders of the cache with models that were fetched and adapters that were trained here."""

VARIABLES = {
    CACHE: "folder for results and saved directions; default `cache/`",
    STORE: "size in GB that results may take, oldest removed first; default half of what the disk has free",
    PAIR: "the pair at the start, as `base,reasoner`, either also as `id + adapter`, or a shipped one by its name; "
    "default the embedded pair",
    PRECISION: "precision of that pair: `fp32`, `bf16` (default), `int8` or `nf4`",
    DEVICE: "device of that pair: `cpu` (default), `cuda` or `mps`",
    ONE_AT_A_TIME: "`1`: one model of a pair is on a graphics card at a time; default where both have no room there",
    BUNDLE: "a bundle that every session begins with, read-only",
    MODEL_ROOTS: "folders (separated by `:`) that local models may be loaded from",
    DATA_ROOTS: "folders (separated by `:`) that trace files may be read from",
    THREADS: "CPU threads of a model that gains from several; default one for every core of the machine",
    JUDGE_URL: "the judge's endpoint: the address before `/chat/completions`",
    JUDGE_MODEL: "the judge's model, by the name that the endpoint knows",
    JUDGE_KEY: "the judge's key; never shown, stored or logged, and sent over https or to this machine only",
    PASSWORD: "the password of `make run SHARE=1`; default one made up; never stored or logged",
    HOSTS: "further names (separated by `,`) by which a shared server is reached, as behind a proxy",
    "HF_TOKEN": "access to gated models on the hub; never shown, stored or logged",
    "CHROMIUM": "the browser that the tests drive",
}
"""Every variable with its meaning, as the README's table gives it."""


def cache_folder() -> Path:
    """The folder of results and saved directions."""
    return Path(os.environ.get(CACHE, PROJECT / "cache"))


def store_bytes() -> int | None:
    """Bytes that the store of results may take, or None where no usable number is set."""
    try:
        asked = float(os.environ.get(STORE, ""))
    except ValueError:
        return None
    return int(asked * 1e9) if 0 < asked < 1e6 else None


def first_pair() -> str:
    """The pair to load at the start as written, "" where none is named; the caller reads it."""
    return os.environ.get(PAIR, "").strip()


def first_precision() -> str:
    """Precision of the first pair as written; the caller checks it."""
    return os.environ.get(PRECISION, "bf16")


def first_device() -> str:
    """Device of the first pair as written."""
    return os.environ.get(DEVICE, "cpu")


def one_at_a_time() -> bool:
    """Whether one model of a pair is on a graphics card at a time, also where both have room there."""
    return os.environ.get(ONE_AT_A_TIME, "").strip().lower() in ("1", "true", "yes", "on")


def first_bundle() -> Path | None:
    """The bundle that sessions begin with, or None."""
    named = os.environ.get(BUNDLE, "").strip()
    return Path(named).expanduser() if named else None


def model_roots() -> tuple[Path, ...]:
    """Folders that local models may be loaded from, `demo/` first, links resolved."""
    return Path(os.path.realpath(PROJECT / "demo")), *_folders(MODEL_ROOTS)


def made_roots() -> tuple[Path, ...]:
    """The folders MADE of the cache, links resolved."""
    return tuple(Path(os.path.realpath(cache_folder() / name)) for name in MADE)


def data_roots() -> tuple[Path, ...]:
    """Folders that trace files may be read from, links resolved."""
    return _folders(DATA_ROOTS)


def cpu_threads() -> int | None:
    """CPU threads that a model may take, or None where none are named: on a busy machine fewer are faster."""
    named = os.environ.get(THREADS, "").partition(",")[0].strip()
    return int(named) if named.isdecimal() and int(named) else None


def take_password() -> str:
    """The password of a shared server, which leaves the environment so that no child process has it; "" for none."""
    return os.environ.pop(PASSWORD, "")


def further_hosts() -> tuple[str, ...]:
    """Names by which a shared server is reached besides its own."""
    return tuple(name.strip() for name in os.environ.get(HOSTS, "").split(",") if name.strip())


def has_judge_key() -> bool:
    """Whether a key for the judge is set."""
    return bool(os.environ.get(JUDGE_KEY, "").strip())


def _folders(variable: str) -> tuple[Path, ...]:
    named = [root for root in os.environ.get(variable, "").split(os.pathsep) if root.strip()]
    return tuple(Path(os.path.realpath(Path(root).expanduser())) for root in named)
