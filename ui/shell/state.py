"""What the pages of one server share (the workbench) and what belongs to one browser session (who is calling)."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import streamlit as st
from streamlit.runtime import exists, get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core import settings
from core.errors import BadInput, NotAllowed, UserFacingError
from core.guests import as_guest, forbidden
from core.jobs import Caller
from core.models.pair import ModelFacts
from core.remembered import PairFacts, has_torch
from core.runs.values import GenerationSpec
from core.sharing.door import COOKIE, Visit, sharing
from core.values import PairSpec
from core.workbench import Workbench
from ui.shell.ending import close_at_end
from ui.shell.opened import SERVER, BundleShelf, Opened
from ui.shell.pairs.start import first_pair

TURN_SECONDS = 0.001
"""How long one of the server's threads may hold the interpreter while others wait, a fifth of Python's own default:
with thirty sessions the thread that answers the browsers waits behind that many pages and the engine."""


LOAD_SLOT = "job:load"
OPEN_BUNDLE = "bundle:open"
"""Digest of the bundle that this session looks at, "" for none."""
FIRST_FAILED = "bundle:first_failed"
"""Why the bundle that sessions begin with could not be opened."""
SHOWN_PAIR = "recorded:pair"
"""Fingerprints of the remembered pair whose results are shown while none is loaded."""


@st.cache_resource(show_spinner=False)
def own_workbench() -> Workbench:
    """The one workbench of this server; its cache folder is `cache/` or what RETRACE_CACHE names."""
    sys.setswitchinterval(TURN_SECONDS)
    bench = Workbench(settings.cache_folder())

    def close() -> None:
        bench.close()
        bundle_shelf().close_all()

    close_at_end(close)
    return bench


@st.cache_resource(show_spinner=False)
def bundle_shelf() -> BundleShelf:
    """The bundles that are open on this server."""
    return BundleShelf()


class _Workbench:
    """What pages compute and read with: the opened bundle's workbench where this session looks at one, else ours.

    A visitor of a shared server has a view of it, which refuses what is the speaker's to do.
    """

    def __call__(self) -> Workbench:
        opened, visitor = opened_bundle(), guest()
        bench = own_workbench() if opened is None else opened.bench
        return as_guest(bench, visitor, lambda specs: note_visit(visitor, specs)) if visitor else bench

    def clear(self) -> None:
        """Forget the server's workbench: the next call makes another."""
        own_workbench.clear()


workbench = _Workbench()


def guest() -> str:
    """The name of the visitor whose session this is; "" for the speaker, and where the server is not shared.

    On a shared server whoever is not known to be the speaker is a visitor.
    """
    shared = sharing()
    if shared is None:
        return ""
    person = shared.door.person(st.context.cookies.get(COOKIE, ""))
    if person is None:
        return "somebody"
    return "" if person.is_speaker else person.name


def check_speaker(what: str) -> None:
    """Raise NotAllowed in a visitor's session."""
    if guest():
        raise forbidden(what)


def note_visit(visitor: str, specs: Sequence[GenerationSpec]) -> None:
    """Tell the speaker, who may ask, what a visitor's run is."""
    shared = sharing()
    if shared is not None and specs:
        edits = [f"{e.operator} {e.coefficient:.3g} at layer {e.layer}" for spec in specs for e in spec.steering]
        how = "; ".join(dict.fromkeys(edits)) or "unsteered"
        shared.door.note(Visit(name=visitor, asked=specs[0].prompt.question, how=how, at=time.time()))


def opened_bundle() -> Opened | None:
    """The bundle that this session looks at; on its first run that of RETRACE_BUNDLE."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return None
    if OPEN_BUNDLE not in st.session_state:
        st.session_state[OPEN_BUNDLE] = _first_bundle(context.session_id)
    digest: str = st.session_state[OPEN_BUNDLE]
    return bundle_shelf().get(digest) if digest else None


def _first_bundle(session: str) -> str:
    try:
        return _open_first(session)
    except UserFacingError as error:
        st.session_state[FIRST_FAILED] = error
        return ""


def _open_first(session: str) -> str:
    """The digest of RETRACE_BUNDLE, opened; "" where there is none. Raises BadBundle, BadInput, UserFacingError."""
    path = settings.first_bundle()
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return bundle_shelf().open(file, session, is_there=is_there).digest
    except OSError as error:
        raise BadInput(f"The bundle {path.name!r} cannot be read.", "Name a file that is there.") from error


def keep_first_bundle() -> None:
    """Open the bundle that sessions begin with before the first of them; what is wrong with it is told to them."""
    with contextlib.suppress(UserFacingError):
        _open_first(SERVER)


def open_bundle_file(file: BinaryIO) -> None:
    """Look at a bundle from now on; what the session had chosen belongs to other results and is forgotten.

    Raises BadBundle, BadInput, NotAllowed, UserFacingError; then all stays as it is.
    """
    check_speaker("Opening a bundle")
    opened = bundle_shelf().open(file, caller().owner, is_there=is_there)
    st.session_state.clear()
    st.session_state[OPEN_BUNDLE] = opened.digest


def close_bundle() -> None:
    """Go back to the results of this machine. Raises NotAllowed."""
    check_speaker("Closing a bundle")
    bundle_shelf().close(st.session_state[OPEN_BUNDLE], caller().owner)
    st.session_state.clear()
    st.session_state[OPEN_BUNDLE] = ""


def caller() -> Caller:
    """This browser session; it is watching as long as its connection is open."""
    context = get_script_run_ctx()
    session = context.session_id if context else ""
    return Caller(owner=session, is_watching=lambda: is_there(session), guest=guest())


def is_there(session: str) -> bool:
    """Whether the connection of a browser session is open."""
    return not exists() or get_instance().is_active_session(session)


@st.cache_resource(show_spinner=False)
def _visitors() -> set[str]:
    """Browser sessions that have drawn a page."""
    return set()


def n_others() -> int:
    """How many other browser sessions are open on this server."""
    visitors, own = _visitors(), caller().owner
    visitors.add(own)
    for session in [one for one in visitors if not is_there(one)]:
        visitors.discard(session)
    return len(visitors - {own})


def chosen_pair() -> PairSpec:
    """The pair this session asked for; until it asks, the loaded one or that of the start."""
    pair: PairSpec = st.session_state.setdefault("pair", workbench().pair.spec or first_pair())
    return pair


def pair_facts() -> tuple[ModelFacts, ModelFacts] | None:
    """(base, reasoner) facts of the loaded pair; where none can be expected, of the remembered pair that is shown."""
    pair = workbench().pair
    if pair.spec:
        return pair.facts("base"), pair.facts("reasoner")
    shown = remembered_pair() if is_recorded() else None
    return (shown.base, shown.reasoner) if shown is not None else None


def can_run() -> bool:
    """Whether a pair is in memory; without one pages show what is stored."""
    return workbench().pair.spec is not None


def is_recorded() -> bool:
    """Whether no pair is loaded and none will be: a bundle is open, torch is missing, or the load has failed."""
    if can_run():
        return False
    if opened_bundle() is not None or not has_torch():
        return True
    job = workbench().engine.snapshot(st.session_state.get(LOAD_SLOT, ""))
    return job is not None and not job.live


def remembered_pair() -> PairFacts | None:
    """The pair whose stored results are shown: the one that was chosen, else the one that was loaded last."""
    found = workbench().remembered.list()
    chosen = st.session_state.get(SHOWN_PAIR)
    return next((pair for pair in found if pair.fingerprints == chosen), found[0] if found else None)


def guarded(action: Callable[[], str], slot: str) -> bool:
    """Run an action that starts a job, and keep its id under `slot`. Shows what stopped it; True when it started."""
    try:
        st.session_state[slot] = action()
    except UserFacingError as error:
        st.session_state[f"{slot}:error"] = error
        return False
    st.session_state.pop(f"{slot}:error", None)
    return True


def attach(slot: str, job_id: str, *, kind: str) -> None:
    """After a reload or in a second tab: keep watching the live job of this kind that the address names.

    A visitor is told that another's is not shown.
    """
    if slot in st.session_state or not job_id:
        return
    snapshot = workbench().engine.snapshot(job_id[:32])
    if snapshot is None or not snapshot.live or snapshot.kind != kind:
        return
    try:
        workbench().engine.watch(snapshot.job_id, caller())
    except NotAllowed:
        st.caption("This address names somebody else's run. Its settings are here: press **Run** for one of your own.")
        return
    st.session_state[slot] = snapshot.job_id


def take_over(slot: str, kind: str) -> None:
    """Follow a job of this kind whose tab was closed, where this session has none of its own."""
    if slot not in st.session_state:
        left = [job for job in workbench().engine.left() if job.kind == kind]
        if left:
            workbench().engine.watch(left[0].job_id, caller())
            st.session_state[slot] = left[0].job_id


def set_anew(defaults: Mapping[str, object], *, unless: str) -> None:
    """Write the kept or default value of widgets that were not on the page just before, as the key `unless` tells.

    A value that Streamlit keeps for a widget that was away does not reach the browser: it would show its own default.
    """
    if unless not in st.session_state:
        for key, value in defaults.items():
            st.session_state[key] = st.session_state.get(key, value)
