from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from heads import made_up_kit
from typer.testing import CliRunner

from ausynth import assets
from ausynth.cli import app
from ausynth.errors import ConfigurationError
from ausynth.generators.portrait import ict_pack
from ausynth.generators.portrait.ict import load_ict

runner = CliRunner()
LANDMARKER_PARTS = ("face_detector.tflite", "face_landmarks_detector.tflite", "face_blendshapes.tflite")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "assets"
    monkeypatch.setenv("AUSYNTH_ASSETS", str(path))
    return path


def said(result: object) -> str:
    return re.sub(r"\s+", " ", result.output + getattr(result, "stderr", ""))  # type: ignore[attr-defined]


def as_npz(path: Path) -> Path:
    kit = made_up_kit()
    names = sorted(kit.shapes)
    materials = sorted(set(kit.face_materials.tolist()))
    np.savez(
        path,
        neutral=kit.vertices,
        ident=kit.modes.astype(np.float16),
        expr=np.stack([kit.shapes[name] for name in names]).astype(np.float16),
        names=np.array(names),
        fv=kit.faces,
        ft=kit.uv_faces,
        uv=kit.uv,
        fmat=np.array([materials.index(name) for name in kit.face_materials], np.uint8),
        mats=np.array(materials),
    )
    return path


def write_object(path: Path, vertices: np.ndarray, kit: ict_pack.Kit | None = None) -> None:
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    if kit is not None:
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in kit.uv]
        material = ""
        for corners, rows, name in zip(kit.faces, kit.uv_faces, kit.face_materials, strict=True):
            if name != material:
                lines.append(f"usemtl {name}")
                material = name
            lines.append("f " + " ".join(f"{c + 1}/{r + 1}/1" for c, r in zip(corners, rows, strict=True) if c >= 0))
    path.write_text("\n".join(lines) + "\n")


def as_checkout(folder: Path, modes: int) -> Path:
    kit = made_up_kit()
    base = folder / "ICT-FaceKit" / "FaceXModel"
    base.mkdir(parents=True)
    write_object(base / "generic_neutral_mesh.obj", kit.vertices, kit)
    for m in range(modes):
        write_object(base / f"identity{m:03d}.obj", kit.vertices + kit.modes[m])
    for name, delta in kit.shapes.items():
        write_object(base / f"{name}.obj", kit.vertices + delta)
    return folder / "ICT-FaceKit"


def test_the_folder_is_named_by_the_variable_or_the_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert assets.asset_folder() == folder
    monkeypatch.delenv("AUSYNTH_ASSETS")
    assert assets.asset_folder().name == "assets"
    assert "ausynth" in str(assets.asset_folder())


def test_put_replaces_and_leaves_nothing_aside(folder: Path) -> None:
    assets.put_asset("a", b"one")
    assert assets.put_asset("a", b"two").read_bytes() == b"two"
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_written_to(folder: Path) -> None:
    folder.write_text("a file in the way")
    with pytest.raises(ConfigurationError, match="AUSYNTH_ASSETS"):
        assets.put_asset("a", b"one")


def test_the_kit_comes_in_from_an_npz(tmp_path: Path, folder: Path) -> None:
    result = runner.invoke(app, ["assets", "import", "ict-facekit", str(as_npz(tmp_path / "kit.npz"))])
    assert result.exit_code == 0, said(result)
    assert [path.name for path in folder.iterdir()] == [assets.ICT_FACEKIT]
    assert len(load_ict().modes) == 100
    assert "ict-facekit.npz: " in said(runner.invoke(app, ["assets", "list"]))


def test_objects_and_npz_make_the_same_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ict_pack, "_MODES", 2)
    kit = ict_pack.read_kit(as_checkout(tmp_path, 2))
    known = made_up_kit()
    assert np.abs(kit.vertices - known.vertices).max() < 1e-5
    assert np.abs(kit.modes - known.modes[:2]).max() < 1e-5
    assert np.array_equal(kit.faces, known.faces)
    assert np.array_equal(kit.uv_faces, known.uv_faces)
    assert np.array_equal(kit.face_materials, known.face_materials)
    assert sorted(kit.shapes) == sorted(known.shapes)
    assert all(np.abs(kit.shapes[name] - known.shapes[name]).max() < 1e-5 for name in kit.shapes)


def test_a_checkout_that_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ict_pack, "_MODES", 2)
    root = as_checkout(tmp_path, 1)
    with pytest.raises(ConfigurationError, match=r"no identity001.obj \(1 of 2 missing\)"):
        ict_pack.read_kit(root)
    short = root / "FaceXModel" / "identity001.obj"
    write_object(short, made_up_kit().vertices[:100])
    with pytest.raises(ConfigurationError, match="100 vertices"):
        ict_pack.read_kit(root)
    short.write_text("v 1 2 three\n")
    with pytest.raises(ConfigurationError, match="identity001.obj"):
        ict_pack.read_kit(root)


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "other"])
def test_what_is_not_the_kit_is_refused(tmp_path: Path, folder: Path, kind: str) -> None:
    path = tmp_path / "given"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello")
    elif kind == "other":
        with path.open("wb") as out:
            np.savez(out, neutral=np.zeros((4, 3)))
    result = runner.invoke(app, ["assets", "import", "ict-facekit", str(path)])
    assert result.exit_code == 2
    assert "USC-ICT/ICT-FaceKit" in said(result)
    assert not folder.exists()


def test_a_kit_of_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_npz(tmp_path / "kit.npz")
    monkeypatch.setattr(ict_pack, "_VERTICES", 99)
    with pytest.raises(ConfigurationError, match="26719 vertices"):
        ict_pack.read_kit(path)


def task_file(path: Path, parts: tuple[str, ...]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for part in parts:
            file.writestr(part, b"model " * 100)
    return path


def test_the_landmarker_is_copied_after_a_look(tmp_path: Path, folder: Path) -> None:
    good = task_file(tmp_path / "face_landmarker.task", LANDMARKER_PARTS)
    result = runner.invoke(app, ["assets", "import", "face-landmarker", str(good)])
    assert result.exit_code == 0, said(result)
    assert assets.find_asset(assets.LANDMARKER).read_bytes() == good.read_bytes()
    for bad in (task_file(tmp_path / "hands.task", ("hand_detector.tflite",)), tmp_path / "none.task"):
        result = runner.invoke(app, ["assets", "import", "face-landmarker", str(bad)])
        assert result.exit_code == 2
        assert "face_landmarker.task" in said(result)
    data = bytearray(good.read_bytes())
    data[60] ^= 255
    good.write_bytes(bytes(data))
    assert runner.invoke(app, ["assets", "import", "face-landmarker", str(good)]).exit_code == 2
    assert assets.find_asset(assets.LANDMARKER).read_bytes() != good.read_bytes()


def test_list_says_how_to_get_what_is_missing() -> None:
    text = said(runner.invoke(app, ["assets", "list"]))
    assert "ausynth assets import ict-facekit PATH" in text
    assert "ausynth assets import face-landmarker PATH" in text


def test_an_unknown_asset() -> None:
    result = runner.invoke(app, ["assets", "import", "flame", "x"])
    assert result.exit_code == 2
    assert "ict-facekit or face-landmarker" in said(result)
