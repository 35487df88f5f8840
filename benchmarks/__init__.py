"""Speed as ratios against named peers and limits, each in one interleaved run. Run all: python -m benchmarks."""
