"""How a face is cut out of a picture: the centre square, from landmarks, or as a user's function says.

Coordinates, here and in what a user's function returns: x to the right, y down, in pixels; (0, 0) is the outer corner
of the picture, so that a picture of W x H pixels spans 0 to W and 0 to H, and the centre of its first pixel is
(0.5, 0.5). A crop is an affine map of this plane to the unit square, which is then sampled as `out`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ausynth.errors import ConfigurationError, FrameError
from ausynth.naming import fingerprint_of

__all__ = [
    "AffineCrop",
    "Align",
    "CentreSquare",
    "Crop",
    "LandmarkCrop",
    "from_box",
    "from_landmarks",
    "make_crop",
    "resize_into",
    "warp_into",
]

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]

_SIDE: Final = 3.2
_EYE_LINE: Final = 0.30
_MOUTH_SPAN: Final = 1.25
# Left eye, right eye, mouth corners, as the viewer sees them. 66 points are the 68 without the inner mouth corners.
_POINTS: Final = {
    5: ((0,), (1,), (3, 4)),
    66: (tuple(range(36, 42)), tuple(range(42, 48)), (48, 54)),
    68: (tuple(range(36, 42)), tuple(range(42, 48)), (48, 54)),
}
_LARGEST_WARP: Final = 4096


class Crop(Protocol):
    """Cuts the face of picture `index` out of `image` (H0, W0, 3) and resizes it into `out` (H, W, 3). Pickles."""

    @property
    def fingerprint(self) -> str:
        """Return what the crop is, as text: it enters the plan's hash."""
        ...

    def apply(self, image: Pixels, index: int, out: Pixels) -> None:
        """Write the crop into `out`."""
        ...


Align = str | Crop | Callable[[Pixels], NDArray[np.floating] | None]
"""What a source's `align=` takes, see `make_crop`."""


class CentreSquare:
    """The largest square in the middle of the picture: right for pictures that were cropped to the face already."""

    fingerprint = "none"

    def apply(self, image: Pixels, index: int, out: Pixels) -> None:  # noqa: ARG002 (the protocol's signature)
        """Write the centre square of `image`, resized to the size of `out`, into `out`."""
        if image.shape == out.shape and image.shape[0] == image.shape[1]:
            out[:] = image
            return
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        resize_into(image[top : top + side, left : left + side], out)


class LandmarkCrop:
    """The square that `from_landmarks` gives: eyes level, the face at one size and place.

    Args:
        landmarks: gives the (K, 2) points of picture `index`, in the pixels of the stored picture; a module-level
            function or a method, so that it pickles. It raises FrameError for a picture that has none.
    """

    fingerprint = f"landmarks/{_SIDE}/{_EYE_LINE}/{_MOUTH_SPAN}"

    def __init__(self, landmarks: Callable[[int], NDArray[np.floating]]) -> None:
        self.landmarks = landmarks

    def apply(self, image: Pixels, index: int, out: Pixels) -> None:
        """Write the aligned face of picture `index` into `out`."""
        try:
            matrix = from_landmarks(self.landmarks(index))
        except ConfigurationError as error:
            raise FrameError.of(
                f"the landmarks of picture {index}", error.what, do="pass on_error='skip', or align='none'"
            ) from error
        warp_into(image, matrix, out)


class AffineCrop:
    """What a user's function cuts out.

    Args:
        function: `(image (H, W, 3) uint8 RGB) -> (2, 3)` matrix from picture pixels to the unit square (see
            `from_box`, `from_landmarks`), or None where it finds no face. It should be a named function of a module:
            its name is the fingerprint, so give it another name when its body changes, or a `fingerprint` attribute.
            It must be safe to call from several threads.

    Raises:
        ConfigurationError: the function has no name that could be told from another's.
    """

    def __init__(self, function: Callable[[Pixels], NDArray[np.floating] | None]) -> None:
        self.function = function
        self.fingerprint = f"function {fingerprint_of(function, 'align')}"

    def apply(self, image: Pixels, index: int, out: Pixels) -> None:
        """Write what the function cuts out of `image` into `out`."""
        matrix = self.function(image)
        if matrix is None:
            raise FrameError.of(f"picture {index}", f"{self.fingerprint} finds no face in it")
        warp_into(image, _checked(matrix, f"what {self.fingerprint} returned"), out)


def make_crop(
    align: Align,
    *,
    landmarks: Callable[[int], NDArray[np.floating]] | None = None,
) -> Crop:
    """Return the crop that `align` asks for.

    >>> make_crop("none").fingerprint
    'none'

    Args:
        align: "none" (the centre square), "landmarks", a function as `AffineCrop` takes, or a `Crop`.
        landmarks: gives the (K, 2) points of picture `index`, where the source has them.

    Raises:
        ConfigurationError: unknown `align`, or "landmarks" for a source that has none.
    """
    if isinstance(align, str):
        if align == "none":
            return CentreSquare()
        if align != "landmarks":
            raise ConfigurationError(f"align={align!r}", expected="'none', 'landmarks', a function, or a Crop")
        if landmarks is None:
            raise ConfigurationError(
                "align='landmarks' for a source that comes without landmarks",
                expected="'none', or a function",
                do="pass align=FUNCTION that finds the face and returns ausynth.sources.crop.from_box(box) or "
                "from_landmarks(points)",
            )
        return LandmarkCrop(landmarks)
    if hasattr(align, "apply") and hasattr(align, "fingerprint"):
        return align
    if callable(align):
        return AffineCrop(align)
    raise ConfigurationError(f"align={align!r}", expected="'none', 'landmarks', a function, or a Crop")


def from_box(box: Sequence[float]) -> Matrix:
    """Return the matrix that maps a box of the picture to the unit square.

    >>> from_box((10, 20, 110, 120)).tolist()
    [[0.01, 0.0, -0.1], [0.0, 0.01, -0.2]]

    Args:
        box: (x0, y0, x1, y1) as in `image[y0:y1, x0:x1]`; fractions are welcome, and it may leave the picture (the
            pixels of its edge are continued). A box that is not square is stretched.

    Returns:
        (2, 3) float64.

    Raises:
        ConfigurationError: not four finite numbers with x0 < x1 and y0 < y1.
    """
    values = np.asarray(box, dtype=np.float64)
    if values.shape != (4,) or not np.isfinite(values).all() or values[0] >= values[2] or values[1] >= values[3]:
        raise ConfigurationError(f"box {box!r}", expected="(x0, y0, x1, y1) with x0 < x1 and y0 < y1")
    x0, y0, x1, y1 = (float(value) for value in values)
    return np.array([[1 / (x1 - x0), 0.0, -x0 / (x1 - x0)], [0.0, 1 / (y1 - y0), -y0 / (y1 - y0)]]) + 0.0


def from_landmarks(points: ArrayLike) -> Matrix:
    """Return the similarity transform that puts a face at its canonical place in the unit square.

    Eyes become level. The side of the square is 3.2 times the distance d between the centres of the eyes (about 20 cm
    on an adult), the eyes lie 0.30 of it from the top, and half way between eyes and mouth is the vertical middle
    line: raised brows, forehead wrinkles and a dropped jaw stay inside. A turned head shortens d, so d is at least
    the distance from eyes to mouth over 1.25. On a frontal face that distance is about d, so an open mouth does not
    zoom.

    >>> matrix = from_landmarks([(40, 50), (60, 50), (50, 60), (42, 71), (58, 71)])
    >>> (matrix @ [50, 50, 1]).round(3).tolist()  # between the eyes
    [0.5, 0.3]

    Args:
        points: (K, 2) x and y in pixels. K = 5: left eye, right eye, nose, left and right mouth corner, as the viewer
            sees them; 68: Multi-PIE / iBUG's; 66: DISFA's, which are those without the inner mouth corners.

    Returns:
        (2, 3) float64.

    Raises:
        ConfigurationError: another K, numbers that are not finite, or points that are no face.
    """
    points_K2 = np.asarray(points, dtype=np.float64)
    if points_K2.ndim != 2 or points_K2.shape[1] != 2 or len(points_K2) not in _POINTS:
        raise ConfigurationError(f"landmarks of shape {points_K2.shape}", expected="(5, 2), (66, 2) or (68, 2)")
    left, right, mouth = (points_K2[list(rows)].mean(axis=0) for rows in _POINTS[len(points_K2)])
    eyes, across = (left + right) / 2, right - left
    down = np.array([-across[1], across[0]])
    # A face's mouth is below its eyes by a good part of their distance; failed detections (all zero) are not faces.
    if not np.isfinite(points_K2).all() or not (mouth - eyes) @ down > 0.1 * (across @ across):
        raise ConfigurationError(
            "landmarks that are no face", expected="finite numbers, the mouth below the line through the eyes"
        )
    distance = max(math.hypot(*across), math.hypot(*(mouth - eyes)) / _MOUTH_SPAN)
    rotation = np.stack([across, down]) / math.hypot(*across) / (_SIDE * distance)
    middle = (rotation @ eyes)[0] / 2 + (rotation @ mouth)[0] / 2
    shift = np.array([0.5 - middle, _EYE_LINE - (rotation @ eyes)[1]])
    return np.concatenate([rotation, shift[:, None]], axis=1)


def resize_into(image: Pixels, out: Pixels) -> None:
    """Resize `image` into `out`: by area when it shrinks (no aliasing), linearly when it grows."""
    height, width = out.shape[:2]
    if image.shape[:2] == (height, width):
        out[:] = image
        return
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    out[:] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def warp_into(image: Pixels, matrix: NDArray[np.floating], out: Pixels) -> None:
    """Sample the part of `image` that `matrix` maps to the unit square into `out`.

    Where it shrinks, it is sampled about once a picture pixel and averaged over each pixel of `out`, so nothing
    aliases. Beyond the picture's edge the edge pixels are continued.

    Args:
        image: (H0, W0, 3).
        matrix: (2, 3), from picture pixels (see the module's text) to the unit square.
        out: (H, W, 3).
    """
    height, width = out.shape[:2]
    to_picture = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2] @ np.diag([1 / width, 1 / height, 1])
    times_x, times_y = (
        max(1, min(math.ceil(math.hypot(*to_picture[:, axis]) - 1e-6), _LARGEST_WARP // size))
        for axis, size in enumerate((width, height))
    )
    # cv2 counts pixel centres as whole numbers: half a (small) pixel in, half a picture pixel out.
    fine = to_picture @ np.array([[1 / times_x, 0, 0.5 / times_x], [0, 1 / times_y, 0.5 / times_y], [0, 0, 1]])
    fine[:, 2] -= 0.5
    warped = cv2.warpAffine(
        image,
        fine,
        (width * times_x, height * times_y),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    resize_into(np.asarray(warped, dtype=np.uint8), out)


def _checked(matrix: ArrayLike, what: str) -> Matrix:
    values = np.asarray(matrix, dtype=np.float64)
    if values.shape != (2, 3) or not np.isfinite(values).all() or abs(np.linalg.det(values[:, :2])) < 1e-12:
        raise ConfigurationError(
            f"{what} is no crop: {values.tolist()}",
            expected="an invertible (2, 3) matrix from picture pixels to the unit square",
            do="build it with ausynth.sources.crop.from_box or from_landmarks",
        )
    return values
