"""The parts of the benchmark, each measured by itself."""
