"""Several workers on one plan of the embedded pair, each a process, with or without Ray.

python -m benchmarks.fleet speed [--ray local]: Fig. 2 by one and by two; cells and report are compared byte for byte.
python -m benchmarks.fleet kills [--ray local] [--times 10]: kill -9 of the command that writes, or of a worker, at
random moments; then the same command. What was kept stays as it was, nothing is made twice, the report is the same.
python -m benchmarks.fleet cost [--ray local]: how the time of one worker grows with questions, tokens and doses, and
what the same arithmetic says of an 8B pair on 1, 8 and 64 cards.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.disk import codec
from core.disk.store import Store, Stored
from core.runs.cells import KINDS, DoseCell, DoseCellSpec
from core.settings import PROJECT
from ui.figures.report import DATES, DATES_END

FIG2 = "--figures fig2 --choose 16 --report 16 --block 8 --tokens 160 --layers 0-5"
SMALL = (
    "--figures fig2,fig3,fig4 --choose 6 --report 8 --block 2 --tokens 60 --layers 2,4 --windows=-7..-2 --layer 4 "
    "--window=-7..-2 --unit unit --doses 2,4,6 --dose 4 --random 2 --curves 1 --controls random,flip"
)
COST = (
    "--figures fig3 --choose 4 --block 8 --layers 4 --layer 4 --windows=-7..-2 --window=-7..-2 --unit unit --dose 4 "
    "--random 1 --controls random --curves 1"
)
GROWTH = ((8, 80, "2,4"), (16, 80, "2,4"), (8, 160, "2,4"), (8, 80, "1,2,4,6"))
"""Questions, tokens of an answer, doses."""
CARD_TOKENS, LARGE = 10_000.0, {"layers": 6, "windows": 8, "doses": 4, "questions": 300, "tokens": 2000}
"""New tokens a second of an 8B model on a card (`benchmarks.device`), and a Fig. 2 of such a pair."""
KIND, _ = KINDS[DoseCellSpec]
MOST_CELLS, GONE_WITHIN = 100_000, 30.0


@dataclass(frozen=True)
class Place:
    """Where a run keeps what it makes: a cache of its own, and a folder of results."""

    root: Path

    def command(self, plan: str, workers: int, ray: str) -> list[str]:
        """The same command each time."""
        words = ["paper", *shlex.split(plan), "--out", str(self.root / "out"), "--cache", str(self.root / "cache")]
        where = ["--workers", str(workers), *(("--ray", ray) if ray else ())]
        return [sys.executable, "-m", "retrace", *words, *where]

    def begin(self, plan: str, workers: int, ray: str) -> subprocess.Popen[bytes]:
        """Begin the run; what it says goes into a file."""
        self.root.mkdir(exist_ok=True)
        with (self.root / "log").open("ab") as log:
            command = self.command(plan, workers, ray)
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            return subprocess.Popen(command, cwd=PROJECT, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kept(self) -> list[Stored[DoseCell]]:
        """The cells that it has, in the order in which they were kept."""
        store = Store(self.root / "cache")
        with contextlib.closing(store):
            found = store.recent(KIND, DoseCell, MOST_CELLS)
        return sorted(found, key=lambda one: one.stored_at)

    def cells(self) -> dict[str, tuple[float, bytes]]:
        """By key, when a cell was kept, and its bytes without the day."""
        return {one.key: (one.stored_at, codec.dump(one.value)) for one in self.kept()}

    def files(self) -> dict[str, bytes]:
        """What the report shows, without dates."""
        found = {}
        for path in sorted((self.root / "out").rglob("*")):
            if path.is_file() and path.name != "results.json":
                before, _, rest = path.read_bytes().partition(DATES.encode())
                found[str(path.relative_to(self.root / "out"))] = before + rest.partition(DATES_END.encode())[2]
        return found


def timed(place: Place, plan: str, workers: int, ray: str) -> float:
    """Seconds of a run from beginning to end."""
    began = time.monotonic()
    process = place.begin(plan, workers, ray)
    if process.wait() != 0:
        sys.exit(f"The command failed: {(place.root / 'log').read_text('utf-8', 'replace')[-2000:]}")
    return time.monotonic() - began


def compare(place: Place, whole: Place) -> str:
    """How cells and report of two places differ, in a sentence."""
    cells, expected = place.cells(), whole.cells()
    same = {key: data for key, (_, data) in cells.items()} == {key: data for key, (_, data) in expected.items()}
    words = {True: "equal", False: "OTHER"}
    report = words[place.files() == whole.files()]
    return f"{len(cells)} of {len(expected)} cells, {words[same]}; report {report}"


def load() -> str:
    """How busy the machine is."""
    return f"load {os.getloadavg()[0]:.1f} on {len(psutil.Process().cpu_affinity() or [1])} cores"


def speed(root: Path, args: argparse.Namespace) -> None:
    """One worker, then two, in fresh caches."""
    places, took = [Place(root / f"{n}") for n in (1, 2)], []
    for n, place in zip((1, 2), places, strict=True):
        before = load()
        took.append(timed(place, args.plan or FIG2, n, args.ray))
        first, *_, last = place.kept()
        between = f"{last.stored_at - first.stored_at:.1f} s of them from first to last cell"
        print(f"{n} workers: {took[-1]:.1f} s, {between} ({before})", flush=True)
    print(f"{took[0] / took[1]:.2f} times as fast; {compare(places[1], places[0])}")


def cost(root: Path, args: argparse.Namespace) -> None:
    """A plan, then with twice the questions, tokens or doses; then a large one by arithmetic."""
    for n, (questions, tokens, doses) in enumerate(GROWTH):
        place = Place(root / str(n))
        timed(place, f"{COST} --report {questions} --tokens {tokens} --doses {doses}", 1, args.ray)
        first, *others = place.kept()
        seconds = others[-1].stored_at - first.stored_at
        made = sum(len(one.value.spec.prompts) * one.value.spec.sampling.max_new_tokens for one in others)
        shape = f"{questions} questions, {tokens} tokens, doses {doses}"
        speed = f"{made:,} tokens in {seconds:.1f} s, {made / seconds:,.0f} a second"
        print(f"{shape}: {len(others)} cells after the first, {speed} ({load()})", flush=True)
    total = math.prod(LARGE.values())
    print(f"8B, {' x '.join(f'{n} {name}' for name, n in LARGE.items())}: {total / 1e6:.0f} million tokens")
    for cards in (1, 8, 64):
        print(f"  {cards} cards at {CARD_TOKENS:,.0f} tokens/s: {total / CARD_TOKENS / cards / 60:.0f} minutes")


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that make cells for a command."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                is_helper = {"work", "--beside"} <= set(child.cmdline())
                found += [child] if is_helper or "Member" in child.name() + " ".join(child.cmdline()) else []
    return found


def await_gone(processes: list[psutil.Process]) -> None:
    """Wait until none of a killed command's processes is left, Ray's two agents apart; say which are."""
    began = time.monotonic()
    with contextlib.suppress(psutil.Error):
        processes = [one for one in processes if "Agent" not in one.name()]
    _, left = psutil.wait_procs(processes, GONE_WITHIN)
    what = f"{len(left)} ARE LEFT" if left else f"gone after {time.monotonic() - began:.1f} s"
    print(f"  {len(processes)} processes beside it, {what}", flush=True)


def kill_once(process: subprocess.Popen[bytes], rng: random.Random) -> bool:
    """Kill the command or one of its workers; whether the command is over with it."""
    workers = workers_of(process)
    if workers and rng.random() < 0.5:
        rng.choice(workers).kill()
        print(f"  killed one of {len(workers)} workers ({load()})", flush=True)
        return False
    beside = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(f"  killed the command, with {len(workers)} workers ({load()})", flush=True)
    await_gone(beside)
    return True


def kills(root: Path, args: argparse.Namespace) -> None:
    """Kill at random moments, begin again, and compare every run that came to its end with one that was left alone."""
    plan, rng, whole = args.plan or SMALL, random.Random(args.seed), Place(root / "whole")
    seconds = timed(whole, plan, 2, args.ray)
    print(f"left alone: {seconds:.1f} s, {len(whole.cells())} cells", flush=True)
    place, left, n_runs = Place(root / "run1"), args.times, 1
    while left:
        before = place.cells()
        process = place.begin(plan, 2, args.ray)
        for _ in moments(process, rng, seconds):
            left -= 1
            if kill_once(process, rng) or not left:
                break
        if process.wait() == -signal.SIGKILL and left:
            print(f"  {len(place.cells())} cells are kept; {changed(before, place.cells())}", flush=True)
            continue
        before = place.cells()
        timed(place, plan, 2, args.ray)
        print(f"run {n_runs}: {compare(place, whole)}; {changed(before, place.cells())}", flush=True)
        n_runs += 1
        place = Place(root / f"run{n_runs}")


def moments(process: subprocess.Popen[bytes], rng: random.Random, seconds: float) -> Iterator[None]:
    """Random moments, as long as the command runs."""
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.05, 0.6) * seconds)
            return
        yield


def changed(before: dict[str, tuple[float, bytes]], now: dict[str, tuple[float, bytes]]) -> str:
    """What became of cells that were kept already."""
    lost, again = before.keys() - now.keys(), [key for key, one in before.items() if key in now and now[key] != one]
    return f"{len(lost)} lost, {len(again)} made again"


def main() -> None:
    """Run what the arguments name."""
    commands: dict[str, Callable[[Path, argparse.Namespace], None]] = {"speed": speed, "kills": kills, "cost": cost}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=commands)
    parser.add_argument("--ray", default="", metavar="ADDRESS", help="workers of Ray; local for this machine")
    parser.add_argument("--times", type=int, default=10, help="how often it is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--plan", default="", metavar="FLAGS", help="flags of `paper` that make another plan")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands[args.what](Path(folder), args)


if __name__ == "__main__":
    main()
