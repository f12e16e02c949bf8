"""Exports: what comes back is what went in, nothing half made can be loaded, and no recording leaves the machine."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import typer
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ausynth import sheets
from ausynth.commands.export import export
from ausynth.errors import AusynthError, ConfigurationError, DamagedError
from ausynth.jobs import export as exporting
from ausynth.jobs import selection
from ausynth.jobs.export import export_samples, export_store
from ausynth.jobs.hub import push_to_hub
from ausynth.labels import Labels
from ausynth.sources.images import decode_image, encode_jpeg
from ausynth.store import Recipe, Samples, Store

AUS = (1, 2, 12, 25)
EDGE = 16
RECIPE = Recipe(
    kind="synthetic", aus=AUS, image_size=EDGE, fingerprint="f00d", about={"generator": "noise", "licence": "cc0-1.0"}
)
REAL = Recipe(kind="real", aus=AUS, image_size=EDGE, fingerprint="cafe", about={"dataset": "disfa", "name": "disfa"})


def make(count: int, start: int = 0) -> tuple[Samples, np.ndarray]:
    """Return samples that follow from their numbers, some of their labels unknown, and their pictures."""
    number_N = np.arange(start, start + count)
    draw = [np.random.default_rng(number) for number in number_N]
    drawn = [each.choice([0, 0.5, 1, 2, 3.25, 5, np.nan], len(AUS)) for each in draw]
    intensity_NA = np.array(drawn, np.float32).reshape(count, len(AUS))
    known_NA = ~np.isnan(intensity_NA)
    occurrence_NA = np.where(known_NA, intensity_NA >= 2, np.nan).astype(np.float32)
    occurrence_NA[number_N % 5 == 0, 3] = 1  # a coder said that it is there, and not how strongly
    intensity_NA[number_N % 5 == 0, 3] = np.nan
    confidence_NA = np.where(np.isnan(occurrence_NA), 0, 0.75).astype(np.float32)
    samples = Samples(
        number=number_N,
        key=np.array([each.integers(0, 256, 16, np.uint8) for each in draw], np.uint8).reshape(count, 16),
        labels=Labels(AUS, intensity_NA, occurrence_NA, confidence_NA),
        asked=np.nan_to_num(intensity_NA, nan=4).astype(np.float32),
        identity=number_N % 7 + 10**12,
        noise=number_N + 2**40,
        attempt=number_N % 3,
        text=tuple(f'{n}: Lächeln 笑顔 \U0001f600 "AU12"\n| b' if n % 4 else "" for n in number_N),
    )
    images = [each.integers(0, 256, (EDGE, EDGE, 3), np.uint8) for each in draw]
    return samples, np.array(images, np.uint8).reshape(count, EDGE, EDGE, 3)


def load(folder: Path, cache: Path, **options: Any) -> Any:
    return datasets.load_dataset(str(folder), split="train", cache_dir=str(cache), **options)


def pixels(picture: Any) -> np.ndarray:
    return np.asarray(picture.convert("RGB"))


def number_or_none(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)


def assert_rows(rows: list[dict[str, Any]], samples: Samples, images: np.ndarray | None, plan: str = "") -> None:
    assert len(rows) == len(samples)
    labels = samples.labels
    for i, row in enumerate(rows):
        if images is not None:
            assert np.array_equal(pixels(row["image"]), images[i])
        for a, au in enumerate(AUS):
            assert row[f"AU{au:02}_intensity"] == number_or_none(labels.intensity[i, a])
            assert row[f"AU{au:02}_occurrence"] == number_or_none(labels.occurrence[i, a])
        assert row["mask"] == labels.mask[i].tolist()
        assert row["confidence"] == labels.confidence[i].tolist()
        assert row["asked_intensity"] == samples.asked[i].tolist()
        for name in ("number", "identity", "noise", "attempt"):
            assert row[name] == getattr(samples, name)[i]
        assert row["prompt"] == samples.text[i]
        assert row["key"] == samples.key[i].tobytes().hex()
        assert (row["generator"], row["fingerprint"], row["licence"], row["plan"]) == ("noise", "f00d", "cc0-1.0", plan)


# --- what comes back


@pytest.mark.parametrize("streaming", [False, True])
def test_a_loaded_export_is_what_was_exported(tmp_path: Path, streaming: bool) -> None:
    samples, images = make(230)
    exported = export_samples([(samples, images)], RECIPE, tmp_path / "out", plan="abc")
    assert exported.samples == 230
    loaded = load(tmp_path / "out", tmp_path / "cache", streaming=streaming)
    assert_rows(list(loaded), samples, images, "abc")


def test_features_are_proper(tmp_path: Path) -> None:
    samples, images = make(3)
    export_samples([(samples, images)], RECIPE, tmp_path / "out")
    for streaming in (False, True):
        found = load(tmp_path / "out", tmp_path / "cache", streaming=streaming).features
        assert isinstance(found["image"], datasets.Image)
        assert found["AU12_intensity"] == datasets.Value("float32") == found["AU12_occurrence"]
        assert found["mask"] == datasets.Sequence(datasets.Value("bool"), length=len(AUS))
        assert found["confidence"] == datasets.Sequence(datasets.Value("float32"), length=len(AUS))
        assert found["identity"] == datasets.Value("int64")
        assert found["prompt"] == datasets.Value("string")
    # Files alone, without the card, say so too.
    files = sorted((tmp_path / "out" / "data").iterdir())
    alone = datasets.Dataset.from_parquet([str(file) for file in files], cache_dir=str(tmp_path / "alone"))
    assert alone.features == found


def test_metadata_of_a_file_say_where_it_comes_from(tmp_path: Path) -> None:
    samples, images = make(3)
    export_samples([(samples, images)], RECIPE, tmp_path / "out")
    (file,) = (tmp_path / "out" / "data").iterdir()
    about = json.loads(pq.read_schema(file).metadata[b"ausynth"])
    assert about["aus"] == list(AUS)
    assert (about["generator"], about["fingerprint"], about["licence"]) == ("noise", "f00d", "cc0-1.0")


def test_tensors_have_nan_where_nothing_is_known(tmp_path: Path) -> None:
    samples, images = make(20)
    export_samples([(samples, images)], RECIPE, tmp_path / "out")
    for streaming in (False, True):
        loaded = load(tmp_path / "out", tmp_path / "cache", streaming=streaming).with_format("torch")
        batch = next(iter(loaded.iter(batch_size=20)))
        for what in ("intensity", "occurrence"):
            cells = torch.stack([batch[f"AU{au:02}_{what}"] for au in AUS], dim=1).numpy()
            assert cells.dtype == np.float32
            assert np.array_equal(cells, getattr(samples.labels, what), equal_nan=True)
        assert torch.equal(batch["mask"], torch.from_numpy(samples.labels.mask))
        shown = torch.stack(list(batch["image"])).permute(0, 2, 3, 1).numpy()
        assert np.array_equal(shown, images)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    group=st.integers(1, 40),
    size=st.sampled_from([1, 5_000, 1 << 30]),
    at_once=st.integers(1, 40),
    data=st.data(),
)
def test_any_batches_give_the_same_rows(  # noqa: PLR0917 (Hypothesis names them)
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group: int, size: int, at_once: int, data: st.DataObject
) -> None:
    total = sum(sizes)
    if total == 0:
        return
    count = data.draw(st.one_of(st.none(), st.integers(1, total)))
    ends = np.cumsum(sizes)
    batches = [make(n, end - n) for n, end in zip(sizes, ends)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "_GROUP", group)
        patch.setattr(exporting, "_FILE_BYTES", size)
        patch.setattr(selection, "_AT_ONCE", at_once)
        # A sheet is a second of drawing, and is not what is looked at here.
        patch.setattr(sheets, "batch_sheet", lambda *_, **__: np.zeros((8, 8, 3), np.uint8))
        out = tmp_path_factory.mktemp("any") / "out"
        exported = export_samples(batches, RECIPE, out, count=count)
    files = sorted((out / "data").iterdir())
    expected = count or total
    assert [file.name for file in files] == [file.name for file in exported.files]
    assert [file.name for file in files] == [f"train-{i:05}-of-{len(files):05}.parquet" for i in range(len(files))]
    rows = []
    for file, said in zip(files, exported.files):
        meta = pq.read_metadata(file)
        assert (meta.num_rows, file.stat().st_size) == (said.samples, said.bytes)
        groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        assert set(groups[:-1]) <= {min(group, at_once)}
        assert groups[-1] <= min(group, at_once)
        rows += pq.read_table(file, columns=["number", "image", "AU12_intensity"]).to_pylist()
    assert [row["number"] for row in rows] == list(range(expected))
    everything, images = make(expected)
    for i, row in enumerate(rows):
        assert np.array_equal(decode_image(row["image"]["bytes"], "a picture"), images[i])
        assert row["AU12_intensity"] == number_or_none(everything.labels.intensity[i, 2])


def test_pixels_may_be_used_again_once_the_next_batch_is_asked_for(tmp_path: Path) -> None:
    memory = np.empty((50, EDGE, EDGE, 3), np.uint8)

    def batches() -> Iterator[tuple[Samples, np.ndarray]]:
        for start in range(0, 200, 50):
            samples, memory[:] = make(50, start)
            yield samples, memory
            memory[:] = 0

    export_samples(batches(), RECIPE, tmp_path / "out")
    assert_rows(list(load(tmp_path / "out", tmp_path / "cache")), *make(200))


def test_jpeg_data_are_passed_on_byte_by_byte(tmp_path: Path) -> None:
    samples, images = make(7)
    coded = [encode_jpeg(image, 80) for image in images]
    for image_format in (None, "jpeg"):
        out = tmp_path / str(image_format)
        export_samples([(samples, coded)], RECIPE, out, image_format=image_format)
        plain = load(out, tmp_path / "cache").cast_column("image", datasets.Image(decode=False))
        assert [row["image"]["bytes"] for row in plain] == coded
        assert next(iter(load(out, tmp_path / "cache")))["image"].format == "JPEG"


def test_jpeg_data_as_png_are_what_they_decode_to(tmp_path: Path) -> None:
    samples, images = make(3)
    coded = [encode_jpeg(image, 80) for image in images]
    export_samples([(samples, coded)], RECIPE, tmp_path / "out", image_format="png")
    rows = list(load(tmp_path / "out", tmp_path / "cache"))
    assert_rows(rows, samples, np.stack([decode_image(data, "a picture") for data in coded]))
    assert rows[0]["image"].format == "PNG"


def test_pixels_as_jpeg(tmp_path: Path) -> None:
    samples, _ = make(2)
    smooth = np.tile(np.arange(0, 160, 10, dtype=np.uint8)[:, None, None], (2, 1, EDGE, 3)).reshape(2, EDGE, EDGE, 3)
    export_samples([(samples, smooth)], RECIPE, tmp_path / "out", image_format="jpeg")
    row = next(iter(load(tmp_path / "out", tmp_path / "cache")))
    assert row["image"].format == "JPEG"
    assert np.abs(pixels(row["image"]).astype(int) - smooth[0]).max() < 8


# --- what is refused


def test_real_recordings_are_refused(tmp_path: Path) -> None:
    samples, images = make(3)
    with pytest.raises(ConfigurationError, match=r"recordings of real people \(disfa\).*licence"):
        export_samples([(samples, images)], REAL, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_recordings_among_generated_samples_are_refused(tmp_path: Path) -> None:
    samples, images = make(6)
    samples.noise[4] = -1  # as in a store of real recordings
    with pytest.raises(ConfigurationError, match="recordings of real people"):
        export_samples([(samples, images)], RECIPE, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"holds other files \(README.md\)"):
        export_samples([make(3)], RECIPE, out)
    assert [entry.name for entry in out.iterdir()] == ["README.md"]
    assert (out / "README.md").read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    for out in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(ConfigurationError, match="cannot be a folder"):
            export_samples([make(3)], RECIPE, out)


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert export_samples([make(3)], RECIPE, tmp_path / "out").samples == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 4}, "3 samples, and 4 are asked for"),
        ({"count": 0}, "count 0"),
        ({"image_format": "tiff"}, "image_format 'tiff'"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        export_samples([make(3)], RECIPE, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_no_samples(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no samples"):
        export_samples([], RECIPE, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_batches_that_do_not_fit_the_recipe(tmp_path: Path) -> None:
    samples, images = make(3)
    other = Recipe(kind="synthetic", aus=(1, 2), image_size=EDGE)
    for recipe, wrong, message in (
        (RECIPE, images[:2], "shape"),
        (RECIPE, images.astype(np.float32), "float32"),
        (RECIPE, images[:, :8, :8], "shape"),
        (RECIPE, [b"\xff\xd8"], "1 pictures for 3 samples"),
        (RECIPE, [b"GIF89a"] * 3, "JPEG"),
        (other, images, "AUs"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            export_samples([(samples, wrong)], recipe, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_the_same_selection_is_not_made_again(tmp_path: Path) -> None:
    export_samples([make(3)], RECIPE, tmp_path / "out", selection="first three")

    def never() -> Iterator[tuple[Samples, np.ndarray]]:
        raise AssertionError("asked for samples")
        yield make(3)

    again = export_samples(never(), RECIPE, tmp_path / "out", selection="first three")
    assert (again.found, again.samples) == (True, 3)
    for other in ("", "others"):
        with pytest.raises(ConfigurationError, match="holds an export already, of 3 samples"):
            export_samples([make(3)], RECIPE, tmp_path / "out", selection=other)


# --- interruptions


def _half(then: BaseException) -> Iterator[tuple[Samples, np.ndarray]]:
    yield make(150)
    raise then


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError("unplugged")])
def test_an_interruption_leaves_nothing_and_a_rerun_completes(tmp_path: Path, stop: BaseException) -> None:
    with pytest.raises(type(stop)):
        export_samples(_half(stop), RECIPE, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export_samples([make(150)], RECIPE, tmp_path / "out")
    assert_rows(list(load(tmp_path / "out", tmp_path / "cache")), *make(150))


_KILLED = """
import os, sys, time
from pathlib import Path
from test_export import RECIPE, make
import datasets, pyarrow.parquet
from ausynth.jobs.export import export_samples

if sys.argv[1] == "wait":
    def batches():
        yield make(250)
        print("written", flush=True)
        time.sleep(600)
    export_samples(batches(), RECIPE, sys.argv[2])

def dies(number):
    # As by SIGKILL, at the moment when the n-th file or folder is about to come to its place.
    replace, left = Path.replace, [number]
    def counted(self, target):
        if not left[0]:
            os._exit(9)
        left[0] -= 1
        return replace(self, target)
    Path.replace = counted

number, code = 0, 9
while code == 9:
    if not (child := os.fork()):
        try:
            dies(number)
            export_samples([make(30)], RECIPE, f"{sys.argv[2]}/{number}")
        finally:
            os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    number += 1
print(number)
"""


def _run(*arguments: object) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", _KILLED, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def _loads(folder: Path, cache: Path) -> int:
    """Return how many samples can be loaded; 0 where that fails."""
    try:
        return len(list(load(folder, cache)))
    except (FileNotFoundError, ValueError):
        return 0


def test_a_killed_export_cannot_be_loaded_and_a_rerun_completes_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = _run("wait", out)
    assert process.stdout
    assert process.stdout.readline() == "written\n"
    with pytest.raises(ConfigurationError, match="another run"):
        export_samples([make(3)], RECIPE, out)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(out.rglob("unfinished-*"))
    assert not list(out.rglob("*.parquet"))
    assert _loads(out, tmp_path / "before") == 0
    export_samples([make(250)], RECIPE, out)
    assert {entry.name for entry in out.iterdir()} == {"README.md", "data", "export.json", "sheet.jpg"}
    assert_rows(list(load(out, tmp_path / "after")), *make(250))


def test_whenever_it_is_killed_all_or_nothing_can_be_loaded(tmp_path: Path) -> None:
    process = _run("die", tmp_path)
    runs = int(process.communicate()[0])
    assert runs > 5
    loaded = []
    for number in range(runs):
        out = tmp_path / str(number)
        loaded.append(_loads(out, tmp_path / f"before{number}"))
        if loaded[-1]:
            continue
        export_samples([make(30)], RECIPE, out)
        assert {entry.name for entry in out.iterdir()} == {"README.md", "data", "export.json", "sheet.jpg"}
    assert_rows(list(load(tmp_path / "0", tmp_path / "after")), *make(30))
    assert loaded == [0] * (runs - 1) + [30]


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(AusynthError, match="no space left"):
            export_samples([make(200)], RECIPE, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "out").exists()
    assert export_samples([make(200)], RECIPE, tmp_path / "out").samples == 200


def test_a_copy_that_lacks_a_file_is_refused_by_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_FILE_BYTES", 1)
    export_samples([make(250)], RECIPE, tmp_path / "out")
    files = sorted((tmp_path / "out" / "data").iterdir())
    assert len(files) == 3
    files[1].unlink()
    with pytest.raises(datasets.exceptions.NonMatchingSplitsSizesError):
        load(tmp_path / "out", tmp_path / "cache")


# --- the card


def test_an_au_that_is_nowhere_known(tmp_path: Path) -> None:
    samples, images = make(8)
    for what in (samples.labels.intensity, samples.labels.occurrence, samples.asked):
        what[:, 1] = np.nan
    samples.labels.confidence[:, 1] = 0
    export_samples([(samples, images)], RECIPE, tmp_path / "out")
    for row in load(tmp_path / "out", tmp_path / "cache"):
        assert row["AU02_intensity"] is None
        assert row["AU02_occurrence"] is None
        assert row["mask"][1] is False
        assert row["asked_intensity"][1] is None
    assert "| 2 | outer brow raiser | - | 0 | 0 | 0 | 0 | 0 | 0 | 8 | - |" in _card(tmp_path / "out")[1]


def _card(out: Path) -> tuple[dict[str, Any], str]:
    _, front, text = (out / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def test_the_card_says_what_is_in_it(tmp_path: Path) -> None:
    samples, images = make(1200)
    export_samples([(samples, images)], RECIPE, tmp_path / "out", plan="abc")
    front, text = _card(tmp_path / "out")
    assert front["license"] == "cc0-1.0"
    assert front["size_categories"] == ["1K<n<10K"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    assert front["dataset_info"]["splits"][0]["num_examples"] == 1200
    intensity_NA, occurrence_NA = samples.labels.intensity, samples.labels.occurrence
    for a, au in enumerate(AUS):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {au} |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        known_N = ~np.isnan(occurrence_NA[:, a])
        assert cells[2] == f"{100 * occurrence_NA[known_N, a].mean():.1f} %"
        levels = [int(cell.replace(",", "")) for cell in cells[3:9]]
        assert levels == [(np.rint(intensity_NA[:, a]) == level).sum() for level in range(6)]
        assert int(cells[9]) == (~known_N).sum()
        assert float(cells[10]) == pytest.approx(np.nanmean(np.abs(intensity_NA[:, a] - samples.asked[:, a])), abs=0.01)
    for word in ("f00d", "abc", "noise", "cc0-1.0", "7 synthetic people"):
        assert word in text


@pytest.mark.parametrize(
    ("licence", "said"),
    [("some terms: see | there\n# x", "other"), ("", "unknown"), ("MIT", "mit"), ({"weights": "ODbL, ü"}, "other")],
)
def test_licences_are_passed_on_and_never_guessed(tmp_path: Path, licence: Any, said: str) -> None:
    recipe = Recipe(kind="synthetic", aus=AUS, image_size=EDGE, about={"licence": licence} if licence else {})
    export_samples([make(2)], recipe, tmp_path / "out")
    front, text = _card(tmp_path / "out")
    assert front["license"] == said
    row = next(iter(load(tmp_path / "out", tmp_path / "cache")))
    notes = licence if isinstance(licence, str) else json.dumps(licence, ensure_ascii=False)
    assert row["licence"] == notes
    assert notes in text


def test_the_code_of_the_card_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, images = make(20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    export_samples([(samples, images)], RECIPE, "faces")
    code = _card(tmp_path / "faces")[1].split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["images"].shape == (8, 3, EDGE, EDGE)
    assert np.array_equal(names["occurrence"].numpy(), samples.labels.occurrence[:8], equal_nan=True)
    assert np.array_equal(names["mask"].numpy(), samples.labels.mask[:8])


def test_the_sheet_is_a_picture(tmp_path: Path) -> None:
    export_samples([make(5)], RECIPE, tmp_path / "out")
    sheet = decode_image((tmp_path / "out" / "sheet.jpg").read_bytes(), "the sheet")
    assert min(sheet.shape[:2]) > EDGE


# --- from a store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "store", RECIPE)
    for start in (200, 0, 100):  # shards need not be in the order of the samples
        samples, images = make(100, start)
        made.write(samples, images, plan="abcdef")
    return made


def test_a_store_comes_out_in_the_order_of_its_ordinals(store: Store, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    exported = export_store(store, tmp_path / "out", progress=lambda done, total, _: calls.append((done, total)))
    assert exported.samples == 300
    assert calls[-1] == (300, 300)
    assert_rows(list(load(tmp_path / "out", tmp_path / "cache")), *make(300), plan="abcdef")


def test_a_store_of_jpegs_is_exported_untouched(tmp_path: Path) -> None:
    recipe = Recipe(kind="synthetic", aus=AUS, image_size=EDGE, codec="jpeg", quality=90, about=RECIPE.about)
    made = Store.create(tmp_path / "store", recipe)
    samples, images = make(40)
    coded = [encode_jpeg(image, 90) for image in images]
    made.write(samples, coded, plan="p")
    export_store(made, tmp_path / "out")
    plain = load(tmp_path / "out", tmp_path / "cache").cast_column("image", datasets.Image(decode=False))
    assert [row["image"]["bytes"] for row in plain] == coded
    export_store(made, tmp_path / "png", image_format="png")
    for row, data in zip(load(tmp_path / "png", tmp_path / "cache2"), coded):
        assert np.array_equal(pixels(row["image"]), decode_image(data, "a picture"))


def test_a_sample_of_two_plans_is_exported_once(store: Store, tmp_path: Path) -> None:
    shared, images = make(100, 250)  # 250-299 are there already, under the other plan and other numbers
    renumbered = Samples(**{**vars(shared), "number": shared.number - 250})
    store.write(renumbered, images, plan="aaa")
    exported = export_store(store, tmp_path / "out")
    rows = list(load(tmp_path / "out", tmp_path / "cache"))
    keys = [row["key"] for row in rows]
    assert len(set(keys)) == len(keys) == exported.samples == 350
    assert set(keys) == {key.tobytes().hex() for key in make(350)[0].key}
    alone = export_store(store, tmp_path / "alone", plan="aaa")
    assert alone.samples == 100
    assert {row["plan"] for row in load(tmp_path / "alone", tmp_path / "cache2")} == {"aaa"}


def test_plans_are_chosen_by_the_beginning_of_their_hash(store: Store, tmp_path: Path) -> None:
    samples, images = make(10, 1000)
    store.write(samples, images, plan="abcxyz")
    assert export_store(store, tmp_path / "one", plan="abcx").samples == 10
    for plan, message in (("abc", "2 plans"), ("zzz", "no plan")):
        with pytest.raises(ConfigurationError, match=f"{message}.*abcdef.*abcxyz"):
            export_store(store, tmp_path / "two", plan=plan)


def test_a_count_takes_the_first_ones(store: Store, tmp_path: Path) -> None:
    assert export_store(store, tmp_path / "out", count=130).samples == 130
    assert_rows(list(load(tmp_path / "out", tmp_path / "cache")), *make(130), plan="abcdef")
    with pytest.raises(ConfigurationError, match="300 samples, and 301 are asked for"):
        export_store(store, tmp_path / "more", count=301)


def test_a_rerun_finds_what_is_whole(store: Store, tmp_path: Path) -> None:
    first = export_store(store, tmp_path / "out", count=20)
    before = (tmp_path / "out" / "README.md").stat().st_mtime_ns
    again = export_store(store, tmp_path / "out", count=20)
    assert again.found
    assert not first.found
    assert again.files == first.files
    assert (tmp_path / "out" / "README.md").stat().st_mtime_ns == before
    with pytest.raises(ConfigurationError, match="holds an export already, of 20 samples and with another"):
        export_store(store, tmp_path / "out", count=30)


def test_a_real_store_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    for recipe, message in ((REAL, "recordings of real people"), (RECIPE, "no samples")):
        made = Store.create(tmp_path / recipe.kind, recipe)
        with pytest.raises(ConfigurationError, match=message):
            export_store(made, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_damaged_sample_stops_the_export(store: Store, tmp_path: Path) -> None:
    for shard in (tmp_path / "store").glob("**/*.h5"):
        data = bytearray(shard.read_bytes())
        place = bytes(data).find(make(300)[1][150].tobytes())
        if place >= 0:
            data[place + 5] ^= 1
            shard.write_bytes(data)
    with pytest.raises(DamagedError, match="repair"):
        export_store(Store(tmp_path / "store"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- the command, and the Hub


def _invoke(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(export)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_exports(store: Store, tmp_path: Path) -> None:
    result = _invoke("--cache", tmp_path / "store", "--out", tmp_path / "out", "--count", 25, "--plan", "abc")
    assert result.exit_code == 0, result.output
    assert "25 samples in 1 file" in result.output
    assert_rows(list(load(tmp_path / "out", tmp_path / "cache")), *make(25), plan="abcdef")


def test_the_command_refuses_what_cannot_be(store: Store, tmp_path: Path) -> None:
    for options, message in (
        (["--push-to-hub", "faces"], "USER/NAME"),
        (["--push-to-hub", "some body/faces"], "USER/NAME"),
        (["--private"], "--private without"),
    ):
        result = _invoke("--cache", tmp_path / "store", "--out", tmp_path / "out", *options)
        assert isinstance(result.exception, ConfigurationError)
        assert message in str(result.exception)
        assert not (tmp_path / "out").exists()


class FakeApi:
    """A Hub that keeps what it is given."""

    def __init__(self, private: bool = False) -> None:
        self.private, self.calls, self.files = private, list[str](), dict[str, bytes]()

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> str:
        assert repo_type == "dataset"
        assert exist_ok
        self.calls.append(f"create {repo_id} private={private}")
        return f"https://hub.test/datasets/{repo_id}"

    def repo_info(self, repo_id: str, *, repo_type: str) -> FakeApi:
        return self

    def upload_folder(self, *, repo_id: str, folder_path: str, **options: Any) -> None:
        from huggingface_hub.utils import filter_repo_objects

        self.calls.append(f"upload {repo_id}")
        assert options["repo_type"] == "dataset"
        for gone in filter_repo_objects(list(self.files), allow_patterns=options["delete_patterns"]):
            del self.files[gone]
        names = [str(path.relative_to(folder_path)) for path in Path(folder_path).rglob("*") if path.is_file()]
        for name in filter_repo_objects(names, ignore_patterns=options["ignore_patterns"]):
            self.files[name] = Path(folder_path, name).read_bytes()


def test_push_uploads_the_export_and_replaces_an_older_one(tmp_path: Path) -> None:
    export_samples([make(12)], RECIPE, tmp_path / "out")
    (tmp_path / "out" / ".ausynth-export.lock").touch()
    api = FakeApi()
    api.files = {"data/train-00001-of-00002.parquet": b"old", "notes.txt": b"theirs"}
    address = push_to_hub(tmp_path / "out", "some-body/faces", api=api)
    assert address == "https://hub.test/datasets/some-body/faces"
    assert api.calls == ["create some-body/faces private=False", "upload some-body/faces"]
    (data,) = (tmp_path / "out" / "data").iterdir()
    assert set(api.files) == {"README.md", "sheet.jpg", "export.json", f"data/{data.name}", "notes.txt"}
    assert 'load_dataset("some-body/faces", split="train")' in api.files["README.md"].decode()
    assert api.files[f"data/{data.name}"] == data.read_bytes()
    assert yaml.safe_load(api.files["README.md"].decode().split("---\n")[1])["dataset_info"]


def test_private_data_never_go_into_a_public_repository(tmp_path: Path) -> None:
    export_samples([make(2)], RECIPE, tmp_path / "out")
    api = FakeApi(private=False)
    with pytest.raises(ConfigurationError, match="is public"):
        push_to_hub(tmp_path / "out", "some-body/faces", private=True, api=api)
    assert not api.files
    private = FakeApi(private=True)
    push_to_hub(tmp_path / "out", "some-body/faces", private=True, api=private)
    assert private.files


def test_only_whole_exports_are_pushed(tmp_path: Path) -> None:
    export_samples([make(2)], RECIPE, tmp_path / "out")
    next((tmp_path / "out" / "data").iterdir()).write_bytes(b"cut")
    for folder in (tmp_path / "out", tmp_path):
        with pytest.raises(ConfigurationError, match="no whole export"):
            push_to_hub(folder, "some-body/faces", api=FakeApi())


def test_a_hub_that_cannot_be_reached_is_said_and_the_export_kept(tmp_path: Path) -> None:
    export_samples([make(2)], RECIPE, tmp_path / "out")
    with pytest.raises(AusynthError, match="cannot push to some-body/faces.*is whole and is kept"):
        push_to_hub(tmp_path / "out", "some-body/faces")  # offline, as all tests are
    assert len(load(tmp_path / "out", tmp_path / "cache")) == 2


def test_the_command_pushes_only_when_asked(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    api = FakeApi(private=True)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda **_: api)
    options = ("--cache", tmp_path / "store", "--out", tmp_path / "out", "--count", 5)
    assert _invoke(*options).exit_code == 0
    assert not api.calls
    result = _invoke(*options, "--push-to-hub", "some-body/faces", "--private")
    assert result.exit_code == 0, result.output
    assert "was there already" in result.output
    assert "https://hub.test/datasets/some-body/faces" in result.output
    assert api.calls == ["create some-body/faces private=True", "upload some-body/faces"]
