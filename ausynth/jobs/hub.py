"""Uploads a whole export to the Hugging Face Hub."""

from __future__ import annotations

import os
from typing import Any

import ausynth
from ausynth.durable import write_aside
from ausynth.errors import AusynthError, ConfigurationError
from ausynth.jobs.card import called
from ausynth.jobs.out_folder import HIDDEN, OutFolder

__all__ = ["push_to_hub", "require_repo"]


def push_to_hub(folder: str | os.PathLike[str], repo: str, *, private: bool = False, api: Any = None) -> str:
    """Upload a whole export to the Hugging Face Hub, and return its address there.

    From then on the card says that the data set is loaded from there. Parquet files of an earlier export of that name
    are removed in the same commit: where their number was another, they would be read along with the new ones.

    Args:
        folder: of the export.
        repo: USER/NAME; made if need be.
        private: whether only its owner may see it. A repository that is public already is refused then.
        api: a `huggingface_hub.HfApi`; default one with the token of `hf auth login` or HF_TOKEN.

    Raises:
        ConfigurationError: the name cannot be one; the folder holds no whole export; the repository is public.
        AusynthError: the Hub refused, or cannot be reached; the export stays where it is.
    """
    require_repo(repo)
    out = OutFolder(folder)
    if out.record() is None:
        raise ConfigurationError(f"{out.root} holds no whole export", expected="a folder written by `ausynth export`")
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    api = api or huggingface_hub.HfApi(library_name="ausynth", library_version=ausynth.__version__)
    readme = out.root / "README.md"
    text = readme.read_text(encoding="utf-8")
    if (pointed := called(text, repo)) != text:
        write_aside(readme, pointed.encode())
    try:
        address = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        if private and not api.repo_info(repo, repo_type="dataset").private:
            raise ConfigurationError(
                f"{repo} exists on the Hub and is public", expected="a private repository", do="choose another name"
            )
        api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=str(out.root),
            delete_patterns=["data/train-*.parquet"],
            ignore_patterns=list(HIDDEN),
            commit_message=f"Export of ausynth {ausynth.__version__}",
        )
    except (HfHubHTTPError, OSError) as error:
        raise AusynthError(
            f"cannot push to {repo}: {error}",
            expected="a Hub that can be reached, and a token that may write there",
            do=f"see `hf auth login`, then run the same command again: the export in {out.root} is whole and is kept",
        ) from error
    return str(address)


def require_repo(repo: str) -> None:
    """Raise ConfigurationError unless `repo` can be the name of a repository on the Hub.

    >>> require_repo("somebody/faces")
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    reason = "" if repo.count("/") == 1 else "it is not one user and one name"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        reason = str(error)
    if reason:
        raise ConfigurationError(f"{repo!r} cannot be a repository on the Hub: {reason}", expected="USER/NAME")
