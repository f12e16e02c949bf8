"""Find the packaged head's vertices that are the 68 facial landmarks, and write them to assets/landmarks.toml.

    python scripts/place_landmarks.py face_landmarker.task

MediaPipe's landmarker (pip install mediapipe) finds its 478 points on rendered people; for each of the 68 landmarks of
Sagonas et al., "300 Faces in-the-Wild Challenge" (ICCV Workshops 2013), the vertex that lies nearest to the matching
point over all people is taken, the same on both sides. The inner lips are known from the mesh.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mediapipe
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision

from ausynth.generators import Conditions, load_generator
from ausynth.generators.rendered.head import load_head

OUT = Path(__file__).parents[1] / "ausynth/generators/rendered/assets/landmarks.toml"
PEOPLE = 40
SIZE = 512
# MediaPipe's points for landmarks 0-67: jaw, right brow, left brow, nose, right eye, left eye, outer and inner lips.
POINTS = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
MIRROR = (
    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
    27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
)  # fmt: skip
MIDDLE = {8, 27, 28, 29, 30, 33, 51, 57, 62, 66}


def main() -> None:
    """Find the vertices and write the file."""
    head = load_head()
    straight = {"yaw": 0, "pitch": 0, "roll": 0, "jitter": 0, "gaze": 0, "light": 0, "background": 0, "asymmetry": 0}
    generator = load_generator("rendered", image_size=SIZE, beard=0, hair=0, **straight)
    options = vision.FaceLandmarkerOptions(base_options=tasks.BaseOptions(model_asset_path=sys.argv[1]))
    skin = np.setdiff1d(head.vertices_of("skin"), np.flatnonzero(head.masks["inside-mouth"] > 0.5))
    skin = skin[head.vertices[skin, 2] > 2]
    apart, turned = np.zeros((68, len(skin))), np.zeros(len(skin))
    asked = np.zeros((1, len(generator.aus)), np.float32)
    with vision.FaceLandmarker.create_from_options(options) as detector:
        for identity in range(PEOPLE):
            conditions = Conditions(asked, np.array([identity]), np.array([0]))
            image = generator.generate(conditions).images[0]
            shot = generator._shoot(asked[0], identity, 0)
            found = detector.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image))
            if not found.face_landmarks:
                continue
            points = np.array([(p.x * SIZE, p.y * SIZE) for p in found.face_landmarks[0]])[list(POINTS)]
            places = shot.seen[skin, :2] / generator._factor
            cm = shot.scale
            apart += np.linalg.norm(points[:, None] - places[None], axis=-1) / cm
            turned += shot.normals[skin, 2]
    cost = apart / PEOPLE + np.where(turned / PEOPLE > 0.05, 0, 5)[None]
    x, y = head.vertices[skin, 0], head.vertices[skin, 1]
    cost[list(MIDDLE)] += np.where(np.abs(x) < 0.01, 0, 9)[None]
    lids, eye_y = head.masks["eyelids"][skin], head.vertices[head.vertices_of("eye_left"), 1].mean()
    for point in (37, 38, 43, 44):
        cost[point] += np.where(y > eye_y, 0, 9) + 0.6 * (1 - lids)
    for point in (40, 41, 46, 47):
        cost[point] += np.where(y < eye_y, 0, 9) + 0.6 * (1 - lids)
    chosen = np.zeros(68, int)
    mirrored = head.vertices[skin] * (-1, 1, 1)
    for point in range(68):
        if point > MIRROR[point]:
            continue
        best = int(np.argmin(cost[point]))
        chosen[point] = skin[best]
        chosen[MIRROR[point]] = skin[np.argmin(np.linalg.norm(mirrored - head.vertices[skin[best]], axis=1))]
    for points, columns in ((range(60, 65), head.lip_upper), ((64, 65, 66, 67, 60), head.lip_lower)):
        places = np.linspace(0, len(columns) - 1, 5).round().astype(int)
        inner = columns[places, 0] if points == range(60, 65) else columns[places[::-1], 0]
        for point, vertex in zip(points, inner, strict=True):
            if point not in (60, 64) or points == range(60, 65):
                chosen[point] = vertex
    rows = "\n".join("  " + ", ".join(str(v) for v in chosen[i : i + 17]) + "," for i in range(0, 68, 17))
    OUT.write_text(
        "# The packaged head's vertices that are the 68 facial landmarks, in the usual order (0-16 jaw, 17-26 brows,\n"
        "# 27-35 nose, 36-47 eyes, 48-59 outer lips, 60-67 inner lips); made by scripts/place_landmarks.py.\n"
        f"vertices = [\n{rows}\n]\n"
    )
    best = cost[np.arange(68), [int(np.flatnonzero(skin == v)[0]) if v in skin else 0 for v in chosen]]
    print(f"median distance from MediaPipe's points {np.median(best):.2f} cm")


if __name__ == "__main__":
    main()
