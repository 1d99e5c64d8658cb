"""Repositories of Hugging Face: what is in one, and files from and to it. Nothing else knows the library."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mdtranslate.config.shared_models import MANIFEST
from mdtranslate.errors import CheckpointError, MdtranslateError, PluginError, RecipeError, StorageError, first_line
from mdtranslate.sharing.manifest import ASIDE, CARD, is_part

PREFIX: Final = "hf://"
_NAME: Final = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
LOGIN: Final = "log in with `hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True)
class Repository:
    """A repository of a model, and a branch, tag or commit of it; None: the newest."""

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}" + (f"@{self.revision}" if self.revision else "")


def read_place(text: str) -> Repository | Path:
    """The repository that `hf://owner/name` or `hf://owner/name@revision` is, or the folder. Raises `RecipeError`."""
    if not text.startswith("hf:") and "://" not in text:
        return Path(text)
    found = _NAME.fullmatch(text)
    if found is None:
        raise RecipeError(f"{text}: write hf://OWNER/NAME for a repository of Hugging Face, or the path of a folder")
    return Repository(found[1], found[2])


def require() -> None:
    """Raises `PluginError` where Hugging Face's library is not installed."""
    if find_spec("huggingface_hub") is None:
        raise PluginError("hf:// needs huggingface_hub: pip install 'mdtranslate[hub]'")


def listing(repository: Repository) -> tuple[dict[str, int], str]:
    """The files of a repository with their sizes in bytes, and the commit that has them."""
    with _asked(repository):
        info = _api().model_info(repository.name, revision=repository.revision, files_metadata=True)
        return {each.rfilename: each.size or 0 for each in info.siblings or ()}, str(info.sha)


def download(repository: Repository, commit: str, names: Sequence[str], folder: Path) -> None:
    """Fetches files of a commit by name into `folder`."""
    with _asked(repository):
        _api().snapshot_download(
            repository.name, revision=commit, local_dir=folder, allow_patterns=list(names), etag_timeout=30
        )
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # The library's own notes.


def upload(folder: Path, repository: Repository, *, private: bool, message: str) -> None:
    """Makes a repository, or takes the one that is there, and brings a shared model into it in one commit.

    Raises `RecipeError` where it holds anything that is no part of a shared model, or is public where it is to be
    `private`: such a one is left alone.
    """
    with _asked(repository, writing=True):
        api = _api()
        api.create_repo(repository.name, repo_type="model", private=private or None, exist_ok=True)
        # Of one that was there already the library leaves it as it is, and says nothing.
        if private and not api.model_info(repository.name).private:
            raise RecipeError(f"{repository}: is there already and public; push to another, or without --private")
        before = api.list_repo_files(repository.name, repo_type="model")
        if foreign := [name for name in before if not is_part(name) and name not in (CARD, MANIFEST, *ASIDE)]:
            raise RecipeError(f"{repository}: holds {foreign[0]}, which is no part of a shared model; push to another")
        new = {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}
        old = [name for name in before if is_part(name) and name not in new]
        api.upload_folder(
            repo_id=repository.name,
            repo_type="model",
            folder_path=folder,
            commit_message=message,
            delete_patterns=old or None,
        )


def _api() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not sys.stderr.isatty():  # Its bars are for terminals.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import HfApi

    return HfApi(library_name="mdtranslate")


@contextmanager
def _asked(repository: Repository, *, writing: bool = False) -> Iterator[None]:
    """Turns what the library raises into one line.

    `CheckpointError` where there is no such thing to read, `RecipeError` for a name that cannot be one, `StorageError`
    where Hugging Face cannot be reached or does not let us.
    """
    require()
    from huggingface_hub import errors

    try:
        yield
    except MdtranslateError:
        raise
    except errors.HFValidationError as error:
        raise RecipeError(f"{repository}: is no name of a repository: {first_line(error)}") from None
    except errors.GatedRepoError:
        raise CheckpointError(
            f"{repository}: its owner lets in only whom they choose: ask at https://huggingface.co/{repository.name}, "
            f"then {LOGIN}"
        ) from None
    except errors.RevisionNotFoundError:
        raise CheckpointError(f"{repository}: has no branch, tag or commit {repository.revision!r}") from None
    except errors.RepositoryNotFoundError:
        if writing:
            raise StorageError(f"{repository}: this machine may not write there: {LOGIN}") from None
        raise CheckpointError(f"{repository}: there is no such repository, or it is private: then {LOGIN}") from None
    except Exception as error:  # The network, the service and the library raise anything.
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, errors.LocalTokenNotFoundError) or status in (401, 403):
            raise StorageError(f"{repository}: this machine may not {_what(writing)} there: {LOGIN}") from None
        if isinstance(error, errors.OfflineModeIsEnabled):
            raise StorageError(f"{repository}: cannot be reached: HF_HUB_OFFLINE is set") from None
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise StorageError(f"{error.filename}: cannot be written: {error.strerror}") from None
        raise StorageError(f"{repository}: cannot be reached, or refuses: {first_line(error)}") from None


def _what(writing: bool) -> str:
    return "write" if writing else "read"
