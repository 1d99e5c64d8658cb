"""Checks of a recipe's data before training."""
