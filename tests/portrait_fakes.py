"""A head of a few hundred vertices and a bank of painted people, for tests without outside data."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from ausynth.generators.portrait.bank import FaceBank, StoredFace
from ausynth.generators.portrait.ict import FORMAT, MATERIALS, IctHead, read_ict
from ausynth.generators.portrait.person import PersonShape, PhotoCamera

SHAPES = (
    "browDown", "browInnerUp", "browOuterUp", "cheekRaiser", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn",
    "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress",
    "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
)  # fmt: skip
WHOLE = (
    "jawOpen",
    "mouthClose",
    "mouthPucker",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
)

X = np.linspace(-9, 9, 37)
Y = np.linspace(-12, 12.5, 50)
EYES = np.array([[3.0, 3.5, 7.6, 1.5], [-3.0, 3.5, 7.6, 1.5]], np.float32)


def surface(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the depth of the fake face: half an egg with a ridge for a nose."""
    egg = 11 * np.sqrt(np.clip(1 - (x / 10.5) ** 2 - (y / 15) ** 2, 0.02, None)) - 1
    return egg + 1.8 * np.exp(-(x**2) / 1.0 - (y - 1) ** 2 / 6)


class Mesh:
    """Collects parts: vertices, triangles with materials and texture coordinates."""

    def __init__(self) -> None:
        self.vertices, self.triangles, self.materials, self.uv = [], [], [], []

    def grid(self, points: np.ndarray, material: str, keep: np.ndarray, uv: np.ndarray) -> np.ndarray:
        """Add a grid (R, C, 3) of quads, each as two triangles; return the vertices' numbers."""
        rows, columns = points.shape[:2]
        number = sum(len(part) for part in self.vertices) + np.arange(rows * columns).reshape(rows, columns)
        self.vertices.append(points.reshape(-1, 3))
        for r in range(rows - 1):
            for c in range(columns - 1):
                if keep[r, c]:
                    at = [(r, c), (r, c + 1), (r + 1, c + 1), (r + 1, c)]
                    for corners in ((0, 1, 2), (0, 2, 3)):
                        self.triangles.append([number[at[i]] for i in corners])
                        self.uv.append([uv[at[i]] for i in corners])
                        self.materials.append(MATERIALS.index(material))
        return number


def head_data() -> bytes:
    """Return the fake head as a file of the asset folder."""
    mesh = Mesh()
    x, y = np.meshgrid(X, Y)
    middle_x, middle_y = (X[:-1] + X[1:]) / 2, (Y[:-1] + Y[1:]) / 2
    cx, cy = np.meshgrid(middle_x, middle_y)
    in_mouth = (np.abs(cx) < 2.3) & (np.abs(cy + 3.4) < 0.3)
    in_eye = (np.abs(np.abs(cx) - 3) < 1.3) & (np.abs(cy - 3.5) < 0.6)
    uv = np.stack([(x + 9.5) / 19, (y + 12.5) / 25.5], -1)
    face = mesh.grid(np.stack([x, y, surface(x, y)], -1), "face", ~(in_mouth | in_eye), uv)
    flat = np.zeros((9, 9, 2))
    a, b = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    balls = []
    for ball, name in zip(EYES, ("eye_L", "eye_R"), strict=True):
        way = np.stack([a, b, np.sqrt(np.maximum(0.05, 2.2 - a**2 - b**2))], -1)
        way /= np.linalg.norm(way, axis=-1, keepdims=True)
        balls.append(mesh.grid(ball[:3] + ball[3] * way, name, np.ones((8, 8), bool), flat))
    teeth = []
    for high in (-3.0, -3.9):
        points = np.stack([2 * a, high + 0.35 * b, 9.0 - 0.3 * a**2], -1)
        teeth.append(mesh.grid(points, "teeth", np.ones((8, 8), bool), flat))
    tongue = mesh.grid(np.stack([2 * a, -4.5 + 0 * b, 6 + 2 * -b], -1), "gums", np.ones((8, 8), bool), flat)
    mesh.grid(np.stack([2.4 * a, -3.4 + 2 * b, 3.0 + 0 * a], -1), "mouth", np.ones((8, 8), bool), flat)
    vertices = np.concatenate(mesh.vertices).astype(np.float32)
    kinds = {"face": face.ravel(), "lower": np.concatenate([teeth[1].ravel(), tongue.ravel()])}
    moves = {f"{name}{side}": _move(name, side, vertices, kinds) for name in SHAPES for side in ("_L", "_R")}
    moves |= {name: _move(name, "", vertices, kinds) for name in WHOLE}
    starts, rows, deltas = [0], [], []
    for name in sorted(moves):
        moved = np.flatnonzero(np.abs(moves[name]).max(1) > 1e-4)
        rows.append(moved)
        deltas.append(moves[name][moved])
        starts.append(starts[-1] + len(moved))
    buffer = io.BytesIO()
    np.savez(
        buffer,
        vertices=vertices,
        triangles=np.array(mesh.triangles, np.uint16),
        materials=np.array(mesh.materials, np.uint8),
        uv=np.rint(np.array(mesh.uv) * 65535).astype(np.uint16),
        mirror=np.arange(len(vertices), dtype=np.uint16),
        landmarks=_landmarks(vertices, face).astype(np.int32),
        starts=np.array(starts, np.int32),
        rows=np.concatenate(rows).astype(np.uint16),
        deltas=np.concatenate(deltas).astype(np.float16),
        modes=np.zeros((1, len(vertices), 3), np.float16),
        eyes=EYES,
        source_vertices=np.arange(len(vertices), dtype=np.int32),
        metadata=np.array(json.dumps({"format": FORMAT, "shapes": sorted(moves), "materials": MATERIALS})),
    )
    return buffer.getvalue()


PLACES = {  # of each shape: x and y on the left half, radius, and (outward, up) in centimetres
    "browDown": (2.0, 6.0, 2.0, -0.2, -0.5), "browInnerUp": (1.5, 6.2, 1.8, 0, 0.6),
    "browOuterUp": (4.5, 6.2, 2.0, 0, 0.7), "cheekRaiser": (4.0, 1.0, 2.0, 0, 0.5),
    "cheekSquint": (4.0, 1.0, 2.0, 0, 0.5),
    "eyeBlink": (3.0, 4.2, 0.7, 0, -1.0), "eyeSquint": (3.0, 2.8, 0.7, 0, 0.3), "eyeWide": (3.0, 4.2, 0.7, 0, 0.4),
    "mouthDimple": (2.6, -3.4, 1.2, 0.4, 0), "mouthFrown": (2.4, -3.5, 1.5, 0, -0.7),
    "mouthLowerDown": (1.0, -4.1, 1.2, 0, -0.6), "mouthPress": (1.5, -3.4, 1.5, 0.1, 0),
    "mouthSmile": (2.4, -3.4, 1.8, 0.6, 0.8), "mouthStretch": (2.4, -3.4, 1.8, 0.8, 0),
    "mouthUpperUp": (1.0, -2.8, 1.0, 0, 0.8), "noseSneer": (1.2, 0.0, 2.2, 0, 0.7),
    "mouthPucker": (2.0, -3.4, 1.6, -0.5, 0), "mouthRollLower": (0.0, -4.0, 1.5, 0, 0.1),
    "mouthRollUpper": (0.0, -2.9, 1.5, 0, -0.1), "mouthShrugLower": (0.0, -4.8, 1.8, 0, 0.8),
    "mouthShrugUpper": (0.0, -2.8, 1.5, 0, 0.3),
}  # fmt: skip


def _move(name: str, side: str, vertices: np.ndarray, kinds: dict[str, np.ndarray]) -> np.ndarray:
    delta = np.zeros_like(vertices)
    own = vertices[kinds["face"]]
    if name in ("jawOpen", "mouthClose"):
        # Everything below the slit goes down; mouthClose lifts the lips again.
        share = np.clip((-3.45 - own[:, 1]) / 0.1, 0, 1) * np.clip((4.5 - np.abs(own[:, 0])) / 2, 0, 1)
        sign = -1 if name == "jawOpen" else 1
        delta[kinds["face"], 1] = sign * 2.5 * share * (1 if sign < 0 else np.exp(-((own[:, 1] + 4) ** 2) / 2))
        if name == "jawOpen":
            delta[kinds["lower"], 1] = -2.5
        return delta
    if name not in PLACES:
        return delta
    px, py, radius, outward, up = PLACES[name]
    for sign in (1, -1):
        if side and sign != (1 if side == "_L" else -1):
            continue
        away = np.hypot(own[:, 0] - sign * px, own[:, 1] - py)
        share = np.exp(-((away / radius) ** 2)) * (away < 2 * radius)
        delta[kinds["face"], 0] += sign * outward * share
        delta[kinds["face"], 1] += up * share
    return delta


def _landmarks(vertices: np.ndarray, face: np.ndarray) -> np.ndarray:
    angle = np.linspace(np.pi, 2 * np.pi, 17)
    places = [(7 * np.cos(t), 2 + 9.6 * np.sin(t)) for t in angle]
    places += [(x, 6.2) for x in (-6, -5, -4, -2.5, -1.2, 1.2, 2.5, 4, 5, 6)]
    places += [(0, y) for y in (4, 3, 2, 1)] + [(x, -0.5) for x in (-1.2, -0.6, 0, 0.6, 1.2)]
    for side in (-1, 1):
        places += [(side * 3 + 1.6 * np.cos(t), 3.5 + 0.9 * np.sin(t)) for t in np.radians((180, 120, 60, 0, 300, 240))]
    places += [(2.9 * np.cos(t), -3.4 + 0.9 * np.sin(t)) for t in np.radians(np.arange(180, -180, -30))]
    places += [(2.5 * np.cos(t), -3.4 + 0.5 * np.sin(t)) for t in np.radians(np.arange(180, -180, -45))]
    own = vertices[face.ravel()]
    return np.array([face.ravel()[np.argmin(np.hypot(own[:, 0] - x, own[:, 1] - y))] for x, y in places])


def fake_head(folder: Path) -> IctHead:
    """Return the fake head, read from a file in `folder`."""
    path = folder / "ict-facekit.npz"
    if not path.exists():
        path.write_bytes(head_data())
    return read_ict(path)


def fake_face(number: int) -> StoredFace:
    """Return a painted person: each number another skin, pattern and hair."""
    draw = np.random.default_rng(number)
    skin = np.array([190, 140, 115]) * draw.uniform(0.5, 1.2)
    y, x = np.mgrid[:512, :512] / 512
    pattern = 18 * np.sin(40 * x * draw.uniform(0.5, 2)) * np.cos(30 * y * draw.uniform(0.5, 2))
    texture = np.clip(skin + pattern[..., None], 0, 255).astype(np.uint8)
    camera = PhotoCamera(np.eye(3, dtype=np.float32), 10.7, (128.0, 140.0), 110.0)
    rows, columns = np.mgrid[:256, :256]
    head = ((columns - 128) / 95) ** 2 + ((rows - 128) / 125) ** 2 < 1
    neck = (np.abs(columns - 128) < 50) & (rows > 150)
    matte = np.where(head | neck, 255, 0).astype(np.uint8)
    photo = np.where((head | neck)[..., None], np.clip(skin, 0, 255), 205).astype(np.uint8)
    photo[(rows < 60) & head] = draw.integers(20, 120, 3)
    light = np.zeros((9, 3), np.float32)
    light[0], light[2], light[1] = 0.8, 0.25, 0.1
    return StoredFace(
        name=f"person-{number}",
        shape=PersonShape.mean(),
        texture=texture,
        photo=photo,
        matte=matte,
        light=light,
        camera=camera,
        iris=draw.integers(40, 140, 3).astype(np.uint8),
        attributes={"age": str(20 + 7 * number), "gender": ("female", "male")[number % 2]},
        licence="CC0",
        source=f"painted by a test, {number}",
        subject=f"photograph:{number}",
    )


def fake_bank(folder: Path, people: int = 4) -> FaceBank:
    """Return a bank of painted people on the fake head; the head's file lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    head = fake_head(folder)
    FaceBank.write(folder / "bank", [fake_face(number) for number in range(people)])
    return FaceBank(folder / "bank", head)
