"""Which of the frames in a DISFA tree are taken, where there are videos, extracted frames, or several sets of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ausynth.errors import ConfigurationError, LayoutError
from ausynth.sources.disfa_files import Numbered, Tree, camera_of

__all__ = ["FrameChoice"]

_KINDS: Final = ("auto", "images", "video")


@dataclass(frozen=True)
class FrameChoice:
    """Picks each subject's frames out of a tree.

    Attributes:
        tree: what there is.
        camera: "left" or "right"; frames whose path names no camera belong to either.
        kind: "auto", "images" or "video".
        below: the folder under the root that they lie in, "" for anywhere.
    """

    tree: Tree
    camera: str
    kind: str
    below: str

    @classmethod
    def of(cls, tree: Tree, root: Path, camera: str, frames: str | os.PathLike[str]) -> FrameChoice:
        """Return the choice that `DISFA(camera=, frames=)` asks for; raise ConfigurationError for what is neither."""
        if frames in _KINDS:
            return cls(tree, camera, str(frames), "")
        below = ""
        if frames and isinstance(frames, str | os.PathLike) and (root / frames).is_dir():
            # Not resolved: folders of frames are often links to another disk.
            below = Path(os.path.relpath(root / frames, root)).as_posix()
        if not below or below.startswith(".."):
            raise ConfigurationError(f"frames={frames!r}", expected=f"{', '.join(_KINDS)}, or a folder under {root}")
        return cls(tree, camera, "auto", "" if below == "." else below)

    def from_images(self, subjects: Sequence[str]) -> bool:
        """Return whether extracted frames are taken (else videos): all subjects have to have what is taken.

        Raises:
            LayoutError: neither is there for everyone.
        """
        without_images = [subject for subject in subjects if not self._namings(subject)]
        without_video = [subject for subject in subjects if not self._videos(subject)]
        if self.kind != "video" and not without_images:
            return True
        if self.kind != "images" and not without_video:
            return False
        lacking = {"images": without_images, "video": without_video}
        asked = [kind for kind in lacking if self.kind in (kind, "auto")]
        words = {"images": "extracted frames", "video": "video"}
        found = ", and ".join(f"no {words[kind]} of {', '.join(lacking[kind])}" for kind in asked)
        fewest = min((lacking[kind] for kind in asked), key=len)
        rest = ", ".join(subject for subject in subjects if subject not in fewest) or "nobody"
        raise LayoutError(
            f"{self._where}: {found}",
            expected="frames of the same kind for every subject that is kept",
            do=f"copy or extract what is missing, or keep= only those that have some ({rest})",
        )

    def images(self, subject: str) -> tuple[str, Numbered]:
        """Return a subject's extracted frames by number, and how they are named; raise LayoutError for several sets."""
        namings = self._namings(subject)
        if len(namings) > 1:
            raise LayoutError(
                f"{subject}: {len(namings)} sets of frames: {', '.join(sorted(namings))}",
                expected=f"one set for the {self.camera} camera (* is a subject, # a number)",
                do="pass frames=FOLDER with the folder under the root that holds the right ones",
            )
        return next(iter(namings.items()))

    def video(self, subject: str) -> str:
        """Return the path of a subject's video; raise LayoutError for several."""
        videos = self._videos(subject)
        if len(videos) > 1:
            raise LayoutError(
                f"{subject}: {len(videos)} videos of the {self.camera} camera: {', '.join(videos)}",
                expected="one",
                do="pass frames=FOLDER with the folder under the root that holds the right ones",
            )
        return videos[0]

    @property
    def _where(self) -> str:
        return f"{self.camera} camera, {self.below or 'anywhere under the root'}"

    def _namings(self, subject: str) -> dict[str, Numbered]:
        return {
            naming: numbered
            for naming, numbered in self.tree.images.get(subject, {}).items()
            if camera_of(naming) in (None, self.camera) and self._lies_below(next(iter(numbered.values())))
        }

    def _videos(self, subject: str) -> list[str]:
        return [path for path in self.tree.videos.get(subject, {}).get(self.camera, ()) if self._lies_below(path)]

    def _lies_below(self, path: str) -> bool:
        return not self.below or path.startswith(f"{self.below}/")
