"""Each figure of the benchmarks can be measured; nothing here says how long anything took."""
