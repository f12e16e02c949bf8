"""Makes the head file of the asset folder from ICT-FaceKit: its OBJ files, or an npz with the same numbers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.generators.portrait.ict import EYES, FORMAT, LANDMARKS_68, MATERIALS
from ausynth.labels import Floats

__all__ = ["Kit", "pack_kit", "read_kit"]

_VERTICES, _MODES = 26719, 100
_MATERIAL_OF: Final = {
    "M_Face": "face",
    "M_BackHead": "head",
    "M_GumsTongue": "gums",
    "M_Teeth": "teeth",
    "M_ScleraLeft": "eye_L",
    "M_ScleraRight": "eye_R",
    "M_EyeLashes": "lashes",
}
"""Left out are the shells around the eyes (tear film, occlusion, blend), and the irises, which the sclera hides."""

_MOUTH_SOCKET: Final = range(11248, 13294)
_EYE_SOCKETS: Final = range(13294, 14062)
_LEAST_MOVE: Final = 1e-4  # cm; smaller deltas are noise of the kit's files
_SOURCE: Final = "a checkout of ICT-FaceKit (USC-ICT/ICT-FaceKit on GitHub, MIT licence), or the npz made from one"


@dataclass(frozen=True)
class Kit:
    """ICT-FaceKit as it is published.

    Attributes:
        vertices: (26719, 3) float32 centimetres.
        faces: (F, 4) int32 corners of quads, the last -1 for triangles.
        uv: (U, 2) float32; the whole part of u is the texture's number.
        uv_faces: (F, 4) int32 rows of `uv`, as `faces`.
        face_materials: (F,) names.
        modes: (100, 26719, 3) float32, identity deltas.
        shapes: name -> (26719, 3) float32, expression deltas.
    """

    vertices: Floats
    faces: NDArray[np.int32]
    uv: Floats
    uv_faces: NDArray[np.int32]
    face_materials: NDArray[np.str_]
    modes: Floats
    shapes: dict[str, Floats]


def read_kit(path: Path, progress: Callable[[int, int], None] | None = None) -> Kit:
    """Read ICT-FaceKit from `path`: the checkout, its folder of OBJ files, or the npz.

    Raises:
        ConfigurationError: it is not ICT-FaceKit, or not all of it.
    """
    if path.is_dir():
        return _read_objects(path, progress)
    if not path.exists():
        raise ConfigurationError(f"there is no {path}", expected=_SOURCE)
    return _read_npz(path)


def _read_npz(path: Path) -> Kit:
    try:
        with np.load(path, allow_pickle=False) as file:
            vertices, names = file["neutral"].astype(np.float32), [str(name) for name in file["names"]]
            kit = Kit(
                vertices=vertices,
                faces=file["fv"].astype(np.int32),
                uv=file["uv"].astype(np.float32),
                uv_faces=file["ft"].astype(np.int32),
                face_materials=file["mats"][file["fmat"]],
                modes=file["ident"].astype(np.float32),
                shapes=dict(zip(names, file["expr"].astype(np.float32), strict=True)),
            )
    except (ValueError, KeyError, OSError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"cannot read {path} as ICT-FaceKit: {error}", expected=_SOURCE) from error
    _check(kit, path)
    return kit


def _read_objects(folder: Path, progress: Callable[[int, int], None] | None) -> Kit:
    found = sorted(folder.glob("**/generic_neutral_mesh.obj"))
    if not found:
        raise ConfigurationError(f"no generic_neutral_mesh.obj in {folder} or below", expected=_SOURCE)
    base = found[0].parent
    vertices, mesh = _read_object(found[0], with_faces=True)
    identity = [base / f"identity{i:03d}.obj" for i in range(_MODES)]
    missing = [file.name for file in identity if not file.is_file()]
    if missing:
        raise ConfigurationError(f"{base} has no {missing[0]} ({len(missing)} of {_MODES} missing)", expected=_SOURCE)
    others = [
        file
        for file in sorted(base.glob("*.obj"))
        if file != found[0] and not file.stem.startswith(("identity", "generic"))
    ]
    deltas = []
    for done, file in enumerate((*identity, *others), 1):
        moved, _ = _read_object(file, with_faces=False)
        if moved.shape != vertices.shape:
            raise ConfigurationError(
                f"{file} has {len(moved)} vertices",
                expected=f"{len(vertices)}, as {found[0].name}",
                do="get the file anew",
            )
        deltas.append(moved - vertices)
        if progress is not None:
            progress(done, len(identity) + len(others))
    kit = Kit(
        vertices=vertices,
        modes=np.stack(deltas[:_MODES]),
        shapes={file.stem: delta for file, delta in zip(others, deltas[_MODES:], strict=True)},
        **mesh,
    )
    _check(kit, base)
    return kit


def _read_object(path: Path, *, with_faces: bool) -> tuple[Floats, dict[str, Any]]:
    """Return vertices of an OBJ file, and its polygons' corners, texture coordinates and materials."""
    vertices: list[str] = []
    uv: list[str] = []
    corners: list[list[int]] = []
    uv_corners: list[list[int]] = []
    materials: list[str] = []
    material = ""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("v "):
                    vertices.append(line[2:])
                elif not with_faces:
                    continue
                elif line.startswith("vt "):
                    uv.append(line[3:])
                elif line.startswith("usemtl "):
                    material = line.split(maxsplit=1)[1].strip()
                elif line.startswith("f "):
                    words = [word.split("/") for word in line[2:].split()]
                    if len(words) not in (3, 4):
                        raise ValueError(f"a face of {len(words)} corners")
                    fill = [-1] * (4 - len(words))
                    corners.append([int(word[0]) - 1 for word in words] + fill)
                    uv_corners.append([int(word[1]) - 1 for word in words] + fill)
                    materials.append(material)
        vertices_V3 = np.array([line.split()[:3] for line in vertices], np.float32)
        if not with_faces:
            return vertices_V3, {}
        mesh = {
            "faces": np.array(corners, np.int32),
            "uv": np.array([line.split()[:2] for line in uv], np.float32),
            "uv_faces": np.array(uv_corners, np.int32),
            "face_materials": np.array(materials),
        }
    except (OSError, ValueError, IndexError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}", expected="an OBJ file of ICT-FaceKit") from error
    return vertices_V3, mesh


def _check(kit: Kit, path: Path) -> None:
    missing = set(_MATERIAL_OF) - {str(name) for name in np.unique(kit.face_materials)}
    wanted = {"jawOpen", "browDown_L", "browDown_R", "mouthSmile_L", "cheekRaiser_L", "mouthRollUpper"}
    problems = [
        f"{len(kit.vertices)} vertices" if len(kit.vertices) != _VERTICES else "",
        f"{len(kit.modes)} identity modes" if len(kit.modes) != _MODES else "",
        f"no material {sorted(missing)[0]}" if missing else "",
        f"no shape {sorted(wanted - set(kit.shapes))[0]}" if wanted - set(kit.shapes) else "",
        "numbers that are not finite"
        if not np.isfinite(kit.vertices).all() or not np.isfinite(kit.modes).all()
        else "",
    ]
    if any(problems):
        raise ConfigurationError(
            f"{path} has {', '.join(filter(None, problems))}",
            expected=f"ICT-FaceKit: {_VERTICES} vertices, {_MODES} identity modes, expressions with _L and _R",
            do=f"give {_SOURCE}",
        )


def pack_kit(kit: Kit) -> bytes:
    """Return the head file: what can be seen of the kit, in triangles, with sparse expressions, in half precision."""
    triangles_T3, uv_T32, materials_T = _visible_triangles(kit)
    source_V = np.unique(triangles_T3)
    number = np.full(len(kit.vertices), -1, np.int32)
    number[source_V] = np.arange(len(source_V))
    triangles_T3 = number[triangles_T3]
    vertices_V3 = kit.vertices[source_V]
    starts, rows, deltas = [0], [], []
    for name in sorted(kit.shapes):
        delta_V3 = kit.shapes[name][source_V]
        moved = np.flatnonzero(np.abs(delta_V3).max(1) > _LEAST_MOVE)
        rows.append(moved)
        deltas.append(delta_V3[moved])
        starts.append(starts[-1] + len(moved))
    eyes = []
    for name in EYES:
        ball = vertices_V3[np.unique(triangles_T3[materials_T == MATERIALS.index(name)])]
        eyes.append(_sphere(ball))
    metadata = {
        "format": FORMAT,
        "shapes": sorted(kit.shapes),
        "materials": MATERIALS,
        "source": "ICT-FaceKit, USC Institute for Creative Technologies, https://github.com/USC-ICT/ICT-FaceKit",
        "licence": "MIT",
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        vertices=vertices_V3.astype(np.float32),
        triangles=triangles_T3.astype(np.uint16),
        materials=materials_T,
        uv=np.rint(uv_T32 * 65535).astype(np.uint16),
        mirror=_mirror(vertices_V3, triangles_T3, materials_T).astype(np.uint16),
        landmarks=number[list(LANDMARKS_68)],
        starts=np.array(starts, np.int32),
        rows=np.concatenate(rows).astype(np.uint16),
        deltas=np.concatenate(deltas).astype(np.float16),
        modes=kit.modes[:, source_V].astype(np.float16),
        eyes=np.array(eyes, np.float32),
        source_vertices=source_V.astype(np.int32),
        metadata=np.array(json.dumps(metadata)),
    )
    return buffer.getvalue()


def _visible_triangles(kit: Kit) -> tuple[NDArray[np.int32], Floats, NDArray[np.uint8]]:
    """Return the triangles that some view can show, their corners' texture coordinates, and their materials."""
    quad_F = kit.faces[:, 3] >= 0
    first = np.array([0, 1, 2])
    second = np.array([0, 2, 3])
    order = np.argsort(np.concatenate([np.arange(len(quad_F)), np.flatnonzero(quad_F)]), kind="stable")
    corners = np.concatenate([kit.faces[:, first], kit.faces[quad_F][:, second]])[order]
    rows = np.concatenate([kit.uv_faces[:, first], kit.uv_faces[quad_F][:, second]])[order]
    names = np.concatenate([kit.face_materials, kit.face_materials[quad_F]])[order]
    keep = np.isin(names, list(_MATERIAL_OF)) & ~np.isin(corners, _EYE_SOCKETS).any(1)
    normals = np.cross(kit.vertices[corners[:, 1]] - kit.vertices[corners[:, 0]],
                       kit.vertices[corners[:, 2]] - kit.vertices[corners[:, 0]])  # fmt: skip
    facing = normals[:, 2] / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    middle = kit.vertices[corners].mean(1)
    for eye in ("M_ScleraLeft", "M_ScleraRight"):
        # The lids never uncover the back half of an eyeball, turned as far as eyes turn.
        own = names == eye
        centre = _sphere(kit.vertices[np.unique(corners[own])])
        keep &= ~own | (middle[:, 2] > centre[2] - 0.25 * centre[3])
    # Closed surfaces behind the lips: their backs are never turned to the viewer, who looks in from the front.
    keep &= ~(np.isin(names, ("M_Teeth", "M_GumsTongue")) & (facing < -0.7))
    corners, rows, names = corners[keep], rows[keep], names[keep]
    materials = np.array([MATERIALS.index(_MATERIAL_OF[str(name)]) for name in names], np.uint8)
    socket = (names == "M_BackHead") & np.isin(corners, _MOUTH_SOCKET).any(1)
    materials[socket] = MATERIALS.index("mouth")
    uv = kit.uv[rows]
    uv = uv - _tile(uv)
    return corners.astype(np.int32), np.clip(uv, 0, 1).astype(np.float32), materials


def _tile(uv_T32: Floats) -> Floats:
    """Return (T, 1, 2): where the texture of each triangle begins."""
    tile_T12 = np.floor(uv_T32.mean(1, keepdims=True))
    tile_T12[..., 1] = 0
    return np.asarray(tile_T12, np.float32)


def _sphere(points_N3: Floats) -> Floats:
    """Return (4,) centre and radius of the sphere through the points, least squares."""
    design = np.column_stack([2 * points_N3, np.ones(len(points_N3))]).astype(np.float64)
    solution = np.linalg.lstsq(design, (points_N3.astype(np.float64) ** 2).sum(1), rcond=None)[0]
    radius = np.sqrt(solution[3] + (solution[:3] ** 2).sum())
    return np.array([*solution[:3], radius], np.float32)


def _mirror(vertices_V3: Floats, triangles_T3: NDArray[np.int32], materials_T: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the vertex on the other side for each vertex: the nearest to its mirror image, one to one."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import cKDTree

    kind_V = np.zeros(len(vertices_V3), np.uint8)
    kind_V[triangles_T3] = materials_T[:, None]
    other = {MATERIALS.index(a): MATERIALS.index(b) for a, b in (EYES, EYES[::-1])}
    mirror_V: NDArray[np.int32] = np.arange(len(vertices_V3), dtype=np.int32)
    flip = np.array([-1, 1, 1], np.float32)
    for kind in np.unique(kind_V):
        here, there = np.flatnonzero(kind_V == kind), np.flatnonzero(kind_V == other.get(kind, kind))
        image = vertices_V3[here] * flip
        nearest = np.asarray(cKDTree(vertices_V3[there]).query(image)[1])
        back = np.asarray(cKDTree(image).query(vertices_V3[there])[1])
        sure = back[nearest] == np.arange(len(here))
        mirror_V[here[sure]] = there[nearest[sure]]
        left, open_there = here[~sure], np.setdiff1d(there, there[nearest[sure]])
        if len(left):
            cost = np.linalg.norm(vertices_V3[left][:, None] * flip - vertices_V3[open_there][None], axis=2)
            a, b = linear_sum_assignment(cost)
            mirror_V[left[a]] = open_there[b]
    # Where the assignment is not its own inverse, a vertex stands for itself.
    loose = mirror_V[mirror_V] != np.arange(len(mirror_V))
    mirror_V[loose] = np.flatnonzero(loose)
    return mirror_V
