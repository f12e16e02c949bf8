"""The generator `rendered` with the look "portrait": conditions in, pictures of people and their labels out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ausynth.errors import ConfigurationError
from ausynth.generators.base import Conditions, Generated
from ausynth.generators.portrait.bank import TEXTURE_SIZE, BankPerson, FaceBank
from ausynth.generators.portrait.draw import Artist, Settings
from ausynth.generators.portrait.engines import chosen_engine
from ausynth.generators.portrait.ict import IctHead, load_ict
from ausynth.generators.portrait.labels import Labeller
from ausynth.generators.portrait.maps import Maps
from ausynth.generators.portrait.sensor import Sensor, expose
from ausynth.generators.portrait.shape import Eyes, Face, Shaper
from ausynth.generators.portrait.sitter import Mixture, Sitter, Studio
from ausynth.generators.portrait.table import AUS
from ausynth.generators.rendered import options as check
from ausynth.generators.rendered.camera import Camera, View
from ausynth.generators.rendered.draws import stream
from ausynth.generators.rendered.maps import Rendered
from ausynth.labels import Floats, Labels

if TYPE_CHECKING:
    from ausynth.generators.portrait.batched.engine import Engine

__all__ = ["PortraitGenerator"]

_VERSION: Final = 1
"""Raised with every change that alters a bit of a picture: it is part of the fingerprint."""

_TEXELS: Final = 256  # of the texture at a picture of 128 points: twice as fine as the points


class PortraitGenerator:
    """Draws people of a face bank making expressions: pictures that look like photographs, with exact labels.

    >>> generator = PortraitGenerator("bank", image_size=128)  # doctest: +SKIP
    >>> smile = np.array([[4.0 if au == 12 else 0 for au in generator.aus]])  # doctest: +SKIP
    >>> generator.generate(Conditions(smile, np.array([7]), np.array([1]))).images.shape  # doctest: +SKIP
    (1, 128, 128, 3)

    On the CPU a picture is a function of its own conditions alone: `block_size` is 1. `generate` may be called from any
    number of threads, and does its work without the GIL. On CUDA whole blocks are made at once (`portrait.batched`),
    by one thread at a time. Both give the same pictures within rounding, and have different fingerprints.

    Args:
        bank: the folder of a face bank, as `ausynth faces build` makes it, or an open one.
        image_size: height and width in pixels, 32 or more.
        supersample: points a pixel in each direction, 1-4.
        blend: whether an identity number stands for a new person, mixed from several of the bank; False shows the
            people of the bank as they are.
        mixed: (least, most) of how many people of the bank a new person is mixed, 2-4 each.
        yaw, pitch, roll: standard deviation of the head's pose in degrees; 0 keeps it straight. |yaw| stays within 20.
        distance: (least, most) of the camera from the face in centimetres.
        jitter: standard deviation of the face's place and size in the picture, as a share of it.
        gaze: standard deviation of the eyes' direction in the head, degrees.
        blink: share of the pictures that show the eyes shut; not where AU5 is asked for.
        light: 0 is each photograph's own light, 1 anything from flat to a strong lamp at the side.
        background: 0 is one gray, 1 walls, rooms, greenery and lights out of focus.
        asymmetry: standard deviation of the difference in strength between a person's two sides, 0-0.3.
        wrinkles: 0 paints no lines, 1 those of the person's age.
        blur: 0 is sharp, 1 draws the lens' blur.
        grain: 0 is none, 1 draws the sensor's shot and read noise.
        jpeg: (least, most) quality of JPEG compression, or None.
        head: the head model; None takes ICT-FaceKit from the asset folder.
        device: "cpu" (and None) draws picture by picture on the CPU; "cuda" or "cuda:1" draws whole blocks there.
        engine: "compiled" (numba) or "torch"; None is "torch" on CUDA, and "compiled" on the CPU, where torch is
            several times slower.
        block: how many pictures the engine "torch" makes together.

    Raises:
        ConfigurationError: an option out of its range, or nobody in the bank.
        BankError: no bank there.
        MissingAssetError: the head model was never imported.
    """

    name = "rendered"
    look = "portrait"
    aus = AUS

    def __init__(
        self,
        bank: FaceBank | Path | str,
        image_size: int = 128,
        *,
        supersample: int = 1,
        blend: bool = True,
        mixed: tuple[int, int] = (2, 3),
        yaw: float = 10.0,
        pitch: float = 6.0,
        roll: float = 5.0,
        distance: tuple[float, float] = (40.0, 90.0),
        jitter: float = 0.02,
        gaze: float = 4.0,
        blink: float = 0.02,
        light: float = 1.0,
        background: float = 1.0,
        asymmetry: float = 0.12,
        wrinkles: float = 1.0,
        blur: float = 1.0,
        grain: float = 1.0,
        jpeg: tuple[int, int] | None = (45, 95),
        head: IctHead | None = None,
        device: str | None = None,
        engine: str | None = None,
        block: int = 256,
    ) -> None:
        options: dict[str, Any] = {
            "image_size": check.whole("image_size", image_size, 32, 4096),
            "supersample": check.whole("supersample", supersample, 1, 4),
            "blend": check.flag("blend", blend),
            "mixed": tuple(check.whole("mixed", number, 2, 4) for number in check.span("mixed", mixed, 2, 4)),
            "yaw": check.within("yaw", yaw, 0, 20),
            "pitch": check.within("pitch", pitch, 0, 20),
            "roll": check.within("roll", roll, 0, 30),
            "distance": check.span("distance", distance, 25, 1000),
            "jitter": check.within("jitter", jitter, 0, 0.2),
            "gaze": check.within("gaze", gaze, 0, 20),
            "blink": check.within("blink", blink, 0, 1),
            "light": check.within("light", light, 0, 1),
            "background": check.within("background", background, 0, 1),
            "asymmetry": check.within("asymmetry", asymmetry, 0, 0.3),
            "wrinkles": check.within("wrinkles", wrinkles, 0, 2),
            "blur": check.within("blur", blur, 0, 3),
            "grain": check.within("grain", grain, 0, 5),
            "jpeg": check.quality("jpeg", jpeg),
        }
        head = load_ict() if head is None else head
        self.bank = bank if isinstance(bank, FaceBank) else FaceBank(Path(bank).expanduser(), head)
        if not len(self.bank):
            raise ConfigurationError(
                f"nobody in {self.bank.folder}",
                expected="at least one person",
                do="add some with `ausynth faces build`",
            )
        self.image_size, self._factor = int(image_size), int(supersample)
        self._blink, self._blend = float(blink), blend
        self._camera = Camera(yaw, pitch, roll, options["distance"], jitter, gaze)
        self._sensor = Sensor(blur, grain, options["jpeg"])
        self._shaper = Shaper(head)
        self._artist = Artist(self._shaper, Settings(light, background, wrinkles))
        self._labeller = Labeller(self._shaper, self._artist)
        points = self.image_size * self._factor
        texture, shrink = TEXTURE_SIZE, 0
        while texture // 2 >= 2 * points and texture > 128:
            texture //= 2
        if points <= 64:
            shrink = 1
        self._studio = Studio(
            self.bank,
            self._shaper,
            blend=blend,
            mixed=options["mixed"],
            asymmetry=asymmetry,
            texture_size=texture,
            shrink=shrink,
        )
        recipe = [self.name, self.look, _VERSION, head.fingerprint, self.bank.fingerprint, options]
        self.block_size, self.device, self._engine = 1, None, None
        chosen = chosen_engine(device, engine)
        if chosen.name == "torch":
            self.block_size = int(check.whole("block", block, 1, 65_536))
            self.device, self._engine = chosen.device, self._torch_engine(chosen.device, texture, options)
            recipe += ["torch", chosen.device.partition(":")[0], self.block_size]
        self.fingerprint = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def shows(self) -> tuple[str, ...]:
        """Return the sets whose people the pictures show: "photograph", or a data set's name such as "disfa"."""
        return tuple(sorted({subject.partition(":")[0] for subject in self.bank.subjects}))

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Return the subjects whom the pictures show, or are mixed from: a stream that holds one out refuses them."""
        return tuple(sorted(set(self.bank.subjects)))

    @property
    def people(self) -> tuple[BankPerson, ...]:
        """Return who identity number n is, for n = 0, 1, ...; nobody where every number is a new mixture."""
        return () if self._blend else self.bank.people

    @property
    def licence(self) -> str:
        """Return under which terms the pictures may be passed on: those of the bank's photographs."""
        return (
            f"rendered from a head model under MIT (ICT-FaceKit) and photographs of {len(self.bank)} people: "
            + "; ".join(self.bank.credits())
        )

    def mixture(self, identity: int) -> Mixture:
        """Return of which people of the bank (their numbers in `bank.names`) an identity number is made."""
        return self._studio.mixture(identity)

    def generate(self, conditions: Conditions) -> Generated:
        """Return (B, H, W, 3) pictures and the labels of what they show.

        Raises:
            ConfigurationError: `conditions.intensity` has not one column for each of `aus`.
        """
        return self._generate(conditions, None)

    def render(self, conditions: Conditions) -> Rendered:
        """Return what `generate` does, and where the face is: landmarks, a mask of the face, its depth.

        Raises:
            ConfigurationError: `conditions.intensity` has not one column for each of `aus`.
        """
        maps = Maps.empty(len(conditions), self.image_size)
        made = self._generate(conditions, maps)
        return Rendered(made.images, made.labels, maps.landmarks, maps.mask, maps.depth)

    def _generate(self, conditions: Conditions, maps: Maps | None) -> Generated:
        self._require_columns(conditions)
        images_BHW3 = np.empty((len(conditions), self.image_size, self.image_size, 3), np.uint8)
        if self._engine is not None:
            return Generated(images_BHW3, Labels.from_intensity(AUS, self._engine.draw(conditions, images_BHW3, maps)))
        points = self.image_size * self._factor
        rows = []
        for b in range(len(conditions)):
            noise = int(conditions.noise[b])
            sitter, face, view = self._face(conditions.intensity[b], int(conditions.identity[b]), noise)
            light_HW3 = np.empty((points, points, 3), np.float32)
            drawing = self._artist.draw(sitter, face, view, noise, light_HW3)
            expose(light_HW3, self._factor, self._sensor, noise, images_BHW3[b])
            rows.append(self._labeller.row(sitter, face, view))
            if maps is not None:
                maps.write(b, drawing, self._shaper.topology, self._factor)
        return Generated(images_BHW3, _labels(rows))

    def label(self, conditions: Conditions) -> Labels:
        """Return the labels that `generate` would give, without drawing: they are the mesh's."""
        self._require_columns(conditions)
        if self._engine is not None:
            return Labels.from_intensity(AUS, self._engine.label(conditions))
        faces = (
            self._face(conditions.intensity[b], int(conditions.identity[b]), int(conditions.noise[b]))
            for b in range(len(conditions))
        )
        return _labels([self._labeller.row(sitter, face, view) for sitter, face, view in faces])

    def sides(self, identity: NDArray[np.int64]) -> Floats:
        """Return (B, 2, A) how strongly each person's left and right side moves, as a share of what was asked.

        The option `asymmetry` says how uneven people may be; 1 on both sides without it. What has no sides (the jaw,
        AU17) moves as a whole all the same.
        """
        asymmetry_BA = np.stack([self._studio.asymmetry(int(number)) for number in identity])
        return np.stack([1 + np.minimum(asymmetry_BA, 0), 1 - np.maximum(asymmetry_BA, 0)], 1)

    def _torch_engine(self, device: str, texture_size: int, options: dict[str, Any]) -> Engine:
        import torch

        from ausynth.generators.portrait.batched.engine import Engine, Plan

        settings = Settings(options["light"], options["background"], options["wrinkles"])
        plan = Plan(self.image_size, self._factor, texture_size, self._blink, self._camera, self._sensor, settings)
        return Engine(plan, self._shaper, self._artist, self._labeller, self._studio, torch.device(device))

    def _face(self, intensity_A: Floats, identity: int, noise: int) -> tuple[Sitter, Face, View]:
        sitter, view = self._studio.sitter(identity), self._camera.view(noise)
        blink = 1.0 if self._blink and stream("gaze", noise).random() < self._blink else 0.0
        return sitter, self._shaper.face(sitter.build, intensity_A, Eyes(view.gaze, blink)), view

    def _require_columns(self, conditions: Conditions) -> None:
        if conditions.intensity.shape[1] != len(self.aus):
            raise ConfigurationError(
                f"conditions.intensity has {conditions.intensity.shape[1]} columns",
                expected=f"{len(self.aus)}, one for each of {self.aus}",
                do="bring the label vectors to the generator's AUs, in its order",
            )


def _labels(rows: list[Floats]) -> Labels:
    intensity_BA = np.stack(rows) if rows else np.zeros((0, len(AUS)), np.float32)
    return Labels.from_intensity(AUS, intensity_BA)
