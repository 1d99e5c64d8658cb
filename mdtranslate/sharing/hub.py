"""Access to Hugging Face repositories; the only module that uses `huggingface_hub`."""

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

from mdtranslate.config.manifest import IGNORED_FILES, LICENCE, MANIFEST, MODEL_CARD, is_model_file
from mdtranslate.errors import CheckpointError, MdtranslateError, PluginError, RecipeError, StorageError, first_line

PREFIX: Final = "hf://"
_REPOSITORY: Final = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
LOGIN: Final = "log in with `hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True)
class Repository:
    """A model repository.

    Attributes:
        name: `owner/name`.
        revision: A branch, tag or commit; None for the newest commit.
    """

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}" + (f"@{self.revision}" if self.revision else "")


def parse_location(text: str) -> Repository | Path:
    """Parses a repository, `hf://owner/name` or `hf://owner/name@revision`, or a folder; may raise `RecipeError`."""
    if not text.startswith("hf:") and "://" not in text:
        return Path(text)
    match = _REPOSITORY.fullmatch(text)
    if match is None:
        raise RecipeError(f"{text}: write hf://OWNER/NAME for a Hugging Face repository, or the path of a folder")
    return Repository(match[1], match[2])


def require_library() -> None:
    """Raises `PluginError` if `huggingface_hub` is not installed."""
    if find_spec("huggingface_hub") is None:
        raise PluginError("hf:// needs huggingface_hub: pip install 'mdtranslate[hub]'")


def list_files(repository: Repository) -> tuple[dict[str, int], str]:
    """Returns the sizes in bytes of a repository's files, by name, and the commit that has them.

    Raises:
        CheckpointError: There is no such repository or revision, or it is not accessible.
        StorageError: Hugging Face cannot be reached, or refuses access.
    """
    with _translate_errors(repository):
        info = _api().model_info(repository.name, revision=repository.revision, files_metadata=True)
        return {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}, str(info.sha)


def download(repository: Repository, commit: str, names: Sequence[str], folder: Path) -> None:
    """Downloads files of a commit.

    Args:
        repository: The repository.
        commit: The commit.
        names: Names of the files.
        folder: The folder to write to.

    Raises:
        CheckpointError: There is no such repository or commit, or it is not accessible.
        StorageError: Hugging Face cannot be reached, or refuses access.
    """
    with _translate_errors(repository):
        _api().snapshot_download(
            repository.name, revision=commit, local_dir=folder, allow_patterns=list(names), etag_timeout=30
        )
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # Bookkeeping of the library.


def upload(folder: Path, repository: Repository, *, private: bool, message: str) -> None:
    """Uploads a shared model in one commit; creates the repository if necessary.

    Args:
        folder: The model's files.
        repository: The repository. Its model files that are not in `folder` are deleted.
        private: Create a private repository.
        message: The commit message.

    Raises:
        RecipeError: The repository holds other files, or should be private and is public. It is not changed.
        StorageError: Hugging Face cannot be reached, or refuses access.
    """
    with _translate_errors(repository, writing=True):
        api = _api()
        api.create_repo(repository.name, repo_type="model", private=private or None, exist_ok=True)
        # The library does not change the visibility of an existing repository, and reports nothing.
        if private and not api.model_info(repository.name).private:
            raise RecipeError(f"{repository}: exists and is public; choose another name, or leave out --private")
        existing = api.list_repo_files(repository.name, repo_type="model")
        allowed = {MODEL_CARD, MANIFEST, *IGNORED_FILES}
        if other := [name for name in existing if not is_model_file(name) and name not in allowed]:
            raise RecipeError(
                f"{repository}: holds {other[0]}, which is not a file of a shared model; choose another repository"
            )
        new = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        # A licence may have been added there by hand.
        stale = [name for name in existing if is_model_file(name) and name not in {*new, LICENCE}]
        api.upload_folder(
            repo_id=repository.name,
            repo_type="model",
            folder_path=folder,
            commit_message=message,
            delete_patterns=stale or None,
        )


def _api() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not sys.stderr.isatty():  # Progress bars are for terminals only.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import HfApi

    return HfApi(library_name="mdtranslate")


@contextmanager
def _translate_errors(repository: Repository, *, writing: bool = False) -> Iterator[None]:
    """Translates exceptions of the library to those of mdtranslate, with a message of one line."""
    require_library()
    from huggingface_hub import errors

    access = "write to" if writing else "read"
    try:
        yield
    except MdtranslateError:
        raise
    except errors.HFValidationError as error:
        raise RecipeError(f"{repository}: invalid name of a repository: {first_line(error)}") from None
    except errors.GatedRepoError:
        raise CheckpointError(
            f"{repository}: access is restricted: request it at https://huggingface.co/{repository.name}, then {LOGIN}"
        ) from None
    except errors.RevisionNotFoundError:
        raise CheckpointError(f"{repository}: no branch, tag or commit {repository.revision!r}") from None
    except errors.RepositoryNotFoundError:
        if writing:
            raise StorageError(f"{repository}: no permission to write to it: {LOGIN}") from None
        raise CheckpointError(f"{repository}: no such repository; if it is private, {LOGIN}") from None
    except Exception as error:  # The network, the service and the library raise many types.
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, errors.LocalTokenNotFoundError) or status in (401, 403):
            raise StorageError(f"{repository}: no permission to {access} it: {LOGIN}") from None
        if isinstance(error, errors.OfflineModeIsEnabled):
            raise StorageError(f"{repository}: cannot be reached, since HF_HUB_OFFLINE is set") from None
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise StorageError(f"{error.filename}: cannot be written: {error.strerror}") from None
        raise StorageError(f"{repository}: the request to Hugging Face failed: {first_line(error)}") from None
