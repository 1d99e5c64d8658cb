"""Every failure that mdtranslate names, each with its exit code.

::

    MdtranslateError              1
      RecipeError                 2    a recipe, an override or a command line that cannot be meant
      DataError                  65    pictures or labels that are not what they should be
      CheckpointError            65    a run, checkpoint or translator that is damaged or does not fit
        FormatError              65    one that another version of mdtranslate wrote
      PluginError                69    a plugin, or something it needs, is not there or is broken
      NonFiniteError             70    training stopped because a loss or gradient was not finite
      StorageError               74    the disk is full, a file cannot be written, or Hugging Face cannot be reached
      InUseError                 75    another process works on the same folder
      PeerError                  76    of several processes that train together one is gone
      Stopped         129, 130, 143    a signal stopped the run, after it had saved

The message is one line for a person: it names the file, key or plugin and says what would be right.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MdtranslateError(Exception):
    """Base of all; catching it catches everything that is not a bug."""

    exit_code = 1


class RecipeError(MdtranslateError):
    """A recipe, an override or a command line that cannot be meant."""

    exit_code = 2


class DataError(MdtranslateError):
    """Pictures or labels that are not what they should be."""

    exit_code = 65


class CheckpointError(MdtranslateError):
    """A run, checkpoint or translator that is damaged or does not fit."""

    exit_code = 65


class FormatError(CheckpointError):
    """Written by another version of mdtranslate, in a format that this one does not read; not damaged."""


class PluginError(MdtranslateError):
    """A plugin, or something it needs, is not there or is broken."""

    exit_code = 69


class NonFiniteError(MdtranslateError):
    """Training stopped because a loss or gradient was not finite; no weight took the value."""

    exit_code = 70


class StorageError(MdtranslateError):
    """The disk is full, a file cannot be written, or Hugging Face cannot be reached or does not let us."""

    exit_code = 74


class InUseError(MdtranslateError):
    """Another process works on the same folder."""

    exit_code = 75


class PeerError(MdtranslateError):
    """Of several processes that train together one is gone."""

    exit_code = 76


class Stopped(MdtranslateError):
    """A signal stopped the run, after it had saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


MANY = 64
"""Names that a message lists at most."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest right one, or all of them where none is near."""
    names = sorted(known)
    begun = [name for name in names if len(word) > 2 and name.startswith(word)]
    near = begun or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if len(names) > MANY:
        return f"there are {len(names):,}, such as {', '.join(names[:: len(names) // 3][:3])}"
    return f"there is {', '.join(names)}" if names else "there is none"


def said(error: BaseException) -> str:
    """An error's kind and all that it says, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def first_line(error: BaseException) -> str:
    """What a library's error says, on one line: its kind, and the first of its lines."""
    error = getattr(error, "inner_exception", error)  # Of what torch's compiler wraps.
    lines = str(error).strip().splitlines() or ["nothing more is said"]
    return f"{type(error).__name__}: {lines[0][:200]}"
