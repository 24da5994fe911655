"""Benchmarks: each prints one table, with what it is compared to measured in the same run."""
