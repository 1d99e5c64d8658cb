"""Looks at the data of a recipe before a day is spent on it."""
