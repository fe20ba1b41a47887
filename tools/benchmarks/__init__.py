"""The sub-benchmarks of tools/benchmark.py: each module's `make(options)` gives a `rounds.Bench`."""
