"""Workers that are Ray actors. The only module that imports Ray, when it is asked to; the package is optional.

Ray ships no weights: every host finds the models itself, in its hub cache or in a shared folder, and the digests are
compared. Ray's own statistics are off.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from core import settings
from core.background import Background, Errand, Tell, silent
from core.errors import BadInput
from core.fleet.hands import Answer, Hands, Task
from core.fleet.values import AUTO, LOCAL, FleetSpec
from core.jobs import Progress
from core.values import T

REQUIREMENTS = "requirements-ray.txt"
KNOCK_SECONDS = 5.0
_SETTINGS = b"\x04"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00" + _SETTINGS + bytes(5)
"""How HTTP/2 begins, from both sides: with a frame of this type, whose length stands before it in three bytes."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_GOES_ALONG = (settings.MODEL_ROOTS, "HF_HOME", "HF_HUB_OFFLINE")
"""Variables of the driver that workers get; no key is among them."""


_thread = Background("retrace-ray", busy="waiting for other work on workers to end")
"""Of the one cluster that a process can belong to at a time."""


def with_workers(
    spec: FleetSpec, work: Callable[[Hands], Generator[Progress, None, T]]
) -> Generator[Progress, None, T]:
    """Do work with the workers, which a thread joins and leaves. Raises what the work raises, and as `ray_fleet`.

    The thread stays meanwhile: a cluster that is begun on this machine ends with the thread that began it.
    """
    joined, over = Future[Hands](), threading.Event()

    def stay(errand: Errand) -> None:
        with ray_fleet(spec, errand.tell) as hands:
            joined.set_result(hands)
            over.wait()

    staying = _thread.follow(stay)
    try:
        while not joined.done():
            yield next(staying)
        result = yield from work(joined.result())
        over.set()
        yield from staying
        return result
    finally:
        over.set()
        staying.close()


@contextlib.contextmanager
def ray_fleet(spec: FleetSpec, tell: Tell = silent) -> Iterator[Hands]:
    """The workers, for as long as the block runs. Raises BadInput where Ray is missing or does not answer."""
    check_installed()
    os.environ.update(_QUIET)
    hands: RayHands | None = None
    try:
        _connect(spec, tell)
        tell("looking for room for the workers")
        _check_room(spec)
        hands = RayHands(spec)
        yield hands
    finally:
        _leave(hands)


def is_installed() -> bool:
    """Whether Ray is there."""
    return importlib.util.find_spec("ray") is not None


def check_installed() -> None:
    """Raise BadInput where Ray is not there."""
    if not is_installed():
        raise BadInput(
            "Ray is not installed.",
            f"Install it with `pip install -r {REQUIREMENTS}`, or leave --ray out: --workers works without it.",
        )


def _connect(spec: FleetSpec, tell: Tell) -> None:
    """Join the cluster, or begin one of this machine, which ends with this process. Raises BadInput."""
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "namespace": "retrace", "runtime_env": _environment()}
    options["logging_level"] = logging.ERROR
    address = _known_address() if spec.address == AUTO else spec.address
    if address in ("", LOCAL):
        tell("beginning a cluster on this machine")
        cores = max(os.cpu_count() or 1, spec.workers)
        ray.init(address="local", num_cpus=cores, include_dashboard=False, **options)
        return
    tell(f"joining the cluster at {address}")
    try:
        _knock(address)
        if not address.startswith("ray://"):
            # Once: `init` would ask again and again for minutes.
            ray._raylet.GcsClient(address=address)  # type: ignore[attr-defined]
        ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise refusal(address, error) from error


def _known_address() -> str:
    """Of the cluster that this machine belongs to, where it answers; "" for none.

    Ray itself would take any that runs here, one that another command has begun for itself too. As it does, to the
    machine's own the user's token is shown, and to no other.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray._private.services import find_bootstrap_address

    named = os.environ.get("RAY_ADDRESS")
    known: str = named or find_bootstrap_address(None) or ""
    try:
        _knock(known)
    except (OSError, ValueError):
        return ""
    if not named:
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    return known


def refusal(address: str, error: Exception) -> BadInput:
    """What Ray's error says of a cluster that was not joined."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "version mismatch" in str(error).lower():
        return BadInput(
            "The cluster runs another version of Ray or Python.",
            f"Install the one of {REQUIREMENTS} on every host. {' '.join(lines[1:])}"[:400],
        )
    if "token" in str(error).lower():
        return BadInput(
            f"The Ray cluster at {address} asks for its token.",
            "Set RAY_AUTH_MODE=token, and put what `ray get-auth-token` tells there into ~/.ray/auth_token here.",
        )
    return BadInput(
        f"No Ray cluster answers at {address}.",
        "Start one with `ray start --head`, or name the address that it tells.",
    )


def _check_room(spec: FleetSpec) -> None:
    """Raise BadInput where the cluster has fewer cards or cores than the workers take: they would wait for ever."""
    import ray

    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for name, what, asked in (("GPU", "cards", spec.gpus * spec.workers), ("CPU", "cores", float(spec.workers))):
        there = has.get(name, 0.0)
        if asked > there:
            raise BadInput(
                f"{spec.workers} workers take {asked:g} {what}; the cluster has {there:g}.",
                "Ask for fewer workers, or add hosts to the cluster.",
            )


def _leave(hands: RayHands | None) -> None:
    """End the workers, and a cluster that was begun here."""
    import ray

    if hands is not None:
        hands.close()
    ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody who speaks Ray's HTTP/2 listens there: Ray itself would wait for minutes.

    Raises OSError, ValueError.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    with socket.create_connection((host, int(port)), KNOCK_SECONDS) as line:
        if os.environ.get("RAY_USE_TLS", "0") == "0":
            line.sendall(_PREFACE)
            if line.recv(4)[3:] != _SETTINGS:
                raise ConnectionError("Something else than Ray listens there.")


def _environment() -> dict[str, dict[str, str]]:
    """What the processes of workers are told: where the project is, and where models are."""
    path = os.pathsep.join(filter(None, (str(settings.PROJECT), os.environ.get("PYTHONPATH", ""))))
    told = {name: os.environ[name] for name in _GOES_ALONG if name in os.environ}
    return {"env_vars": {"PYTHONPATH": path, **_QUIET, **told}}


class RayHands:
    """Actors by number, each in a process of its own, with its own card or core."""

    def __init__(self, spec: FleetSpec) -> None:
        self._spec = spec
        self._tickets: dict[Any, int] = {}
        """By what Ray gives for a task."""
        self._arrivals: dict[Any, int] = {}
        """By what Ray gives for the beginning of an actor, its number."""
        self._actors: dict[int, Any] = {}
        for number in range(spec.workers):
            self.renew(number)

    @property
    def n_workers(self) -> int:
        return self._spec.workers

    @property
    def up(self) -> frozenset[int]:
        return frozenset(self._actors) - frozenset(self._arrivals.values())

    def give(self, worker: int, ticket: int, task: Task) -> None:
        self._tickets[self._actors[worker].do.remote(ticket, task)] = ticket

    def answers(self, seconds: float) -> Sequence[Answer]:
        import ray

        waited = [*self._tickets, *self._arrivals]
        if not waited:
            return ()
        ready, _ = ray.wait(waited, num_returns=1, timeout=seconds)
        more, _ = ray.wait(waited, num_returns=len(waited), timeout=0) if ready else ([], [])
        for reference in more or ready:
            self._arrivals.pop(reference, None)
        return [self._answer(reference) for reference in more or ready if reference in self._tickets]

    def _answer(self, reference: Any) -> Answer:
        import ray

        ticket = self._tickets.pop(reference)
        try:
            answer: Answer = ray.get(reference)
        except ray.exceptions.RayError as error:
            return Answer(ticket=ticket, outcome="lost", why=last_line(error))
        return answer

    def renew(self, worker: int) -> None:
        import ray

        from core.fleet.member import Member

        on_card = self._spec.gpus > 0
        actor = ray.remote(Member).options(num_cpus=1, num_gpus=self._spec.gpus, max_restarts=0)
        self._actors[worker] = actor.remote(device="cuda" if on_card else "")
        self._arrivals[self._actors[worker].__ray_ready__.remote()] = worker

    def close(self) -> None:
        import ray

        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                ray.kill(actor)
        for told in (self._actors, self._tickets, self._arrivals):
            told.clear()


def last_line(error: Exception) -> str:
    """What an error of Ray comes to: the last line of what a worker's traceback says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:200]
