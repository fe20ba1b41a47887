"""The sub-benchmarks of tools/maintain/benchmark.py: each module's `make(options)` gives a `rounds.Bench`."""
