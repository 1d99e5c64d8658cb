"""Every failure that mdtranslate names, each with its exit code.

::

    MdtranslateError              1
      RecipeError                 2    invalid recipe, override or command-line arguments
      DataError                  65    invalid or unreadable images or labels
      CheckpointError            65    a run, checkpoint or translator that is damaged or does not fit
        FormatError              65    one that another version of mdtranslate wrote
      PluginError                69    a plugin, or something it needs, is missing or broken
      NonFiniteError             70    training stopped because a loss or gradient was not finite
      StorageError               74    the disk is full, a file cannot be written, or Hugging Face cannot be reached
      InUseError                 75    another process works on the same folder
      PeerError                  76    a peer process of a distributed run died or became unreachable
      Stopped         129, 130, 143    a signal stopped the run, after its state was saved

Each message is a single line: it names the file, key or plugin and says how to fix the problem.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MdtranslateError(Exception):
    """Base class of all errors that are not bugs.

    Attributes:
        exit_code: Exit code of the command line.
    """

    exit_code = 1


class RecipeError(MdtranslateError):
    """Invalid recipe, override or command-line arguments."""

    exit_code = 2


class DataError(MdtranslateError):
    """Invalid or unreadable images or labels."""

    exit_code = 65


class CheckpointError(MdtranslateError):
    """A run, checkpoint or translator is damaged or does not fit."""

    exit_code = 65


class FormatError(CheckpointError):
    """Undamaged files of another version of mdtranslate, in a format that this version cannot read."""


class PluginError(MdtranslateError):
    """A plugin, or something it needs, is missing or broken."""

    exit_code = 69


class NonFiniteError(MdtranslateError):
    """Training stopped because a loss or gradient was not finite; the weights are unaffected."""

    exit_code = 70


class StorageError(MdtranslateError):
    """The disk is full, a file cannot be written, or Hugging Face cannot be reached or denies access."""

    exit_code = 74


class InUseError(MdtranslateError):
    """Another process works on the same folder."""

    exit_code = 75


class PeerError(MdtranslateError):
    """A peer process of a distributed run died or became unreachable."""

    exit_code = 76


class Stopped(MdtranslateError):
    """A signal stopped the run, after its state was saved.

    Args:
        message: The message.
        signal_number: The signal; the exit code is 128 plus this number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


MAX_LISTED = 64
"""Number of known names up to which `nearest` lists all of them."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns the end of a message about an unknown name: the most similar known name, or the list of known names.

    Args:
        word: The unknown name.
        known: All known names.

    Returns:
        For example `did you mean 'stargan'?`.
    """
    names = sorted(known)
    completions = [name for name in names if len(word) > 2 and name.startswith(word)]
    similar = completions or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if similar:
        return f"did you mean {similar[0]!r}?"
    if len(names) > MAX_LISTED:
        return f"there are {len(names):,}, such as {', '.join(names[:: len(names) // 3][:3])}"
    return f"there is {', '.join(names)}" if names else "there is none"


def describe_error(error: BaseException) -> str:
    """Returns the type and the whole message of an error on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def first_line(error: BaseException) -> str:
    """Returns the type of a library's error and the first line of its message, at most 200 characters of it."""
    error = getattr(error, "inner_exception", error)  # torch.compile wraps the original error.
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0][:200]}"
