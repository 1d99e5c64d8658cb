"""Suites: methods compared on the same data, by the same evaluator, at the same budget."""
