"""Run every benchmark and print its table."""

from __future__ import annotations

from benchmarks import attribution, extraction, playground, startup

if __name__ == "__main__":
    playground.main()
    extraction.main()
    attribution.main()
    startup.main()
