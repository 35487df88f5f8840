"""Run every benchmark and print its table."""

from __future__ import annotations

from benchmarks import playground, startup

if __name__ == "__main__":
    playground.main()
    startup.main()
