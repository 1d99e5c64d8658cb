"""Benchmarks: methods compared on the same data, with the same evaluation, at the same training budget."""
