"""Evaluation of trained runs: the attribute classifier, the metrics on all test images, and the report."""
