"""Benchmarks of Rill beside what people would use instead, all in one run."""
