from __future__ import annotations

import pickle

import numpy as np
import pytest
from faces import FaceGenerator, FaceSource, FakeEncoder, face, person_vectors
from torch.utils.data import DataLoader

import ausynth
from ausynth.errors import ConfigurationError, GenerationError
from ausynth.guarding import HeldOut
from ausynth.labels import Labels
from ausynth.samplers import FunctionEncoder, Gallery, LeakageGuard
from ausynth.samplers.identity import embed
from ausynth.samplers.impostors import calibrate_threshold, person_scores
from ausynth.store.embeddings import Remembered
from ausynth.testing import check_encoder

NOBODY = Labels.from_intensity((1,), np.zeros((1, 1), np.float32))


def gallery(people, encoder, looks=4):
    images = [face(who, look) for who in people for look in range(looks)]
    return Gallery.of_pictures(images, [f"p{who}" for who in people for _ in range(looks)], encoder)


def guard_of(people, encoder=None, **options):
    encoder = encoder or FakeEncoder()
    if not options:
        options["calibrate"] = gallery(range(200, 230), encoder)
    return LeakageGuard(gallery(people, encoder), encoder, **options)


def stream_of(guard, **options):
    settings = {"generator": FaceGenerator(), "balance": None, "image_size": 16, "batch_size": 16, "threads": 0}
    return ausynth.MixedStream(None, 1, guard=guard, **settings | options)


def who(batch):
    return {1 + int(n) % 40 for n in batch["identity"] % 2**32}


# -- the guard


def test_a_guard_rejects_the_people_of_its_gallery_and_no_others():
    guard = guard_of(range(1, 11))
    theirs = np.stack([face(n, 77) for n in range(1, 11)])
    others = np.stack([face(n, 77) for n in range(11, 111)])
    assert guard.rejects(guard.embed(theirs)).all()
    assert not guard.rejects(guard.embed(others)).any()
    report = guard.report()
    assert (report["checked"], report["rejected"], report["no_face"]) == (110, 10, 0)
    assert report["nearest"]["1"] > guard.threshold > report["nearest"]["0.5"]
    assert not any("p1" in str(value) for value in report.values())


def test_where_no_face_is_found_nothing_is_shown():
    guard = guard_of([1])
    images = np.stack([face(0), face(30)])
    assert guard(images, NOBODY).tolist() == [True, False]
    assert guard.report()["no_face"] == 1


def test_a_verdict_does_not_depend_on_companions():
    encoder = FakeEncoder(spread=0.9)  # cosines all around the threshold
    guard = guard_of(range(1, 30), encoder, threshold=0.6)
    vectors = encoder.embed(np.stack([face(1 + n % 29, n % 250) for n in range(600)]))
    together = guard.rejects(vectors)
    assert 50 < together.sum() < 550
    assert np.array_equal(together, np.concatenate([guard.rejects(vectors[n : n + 1]) for n in range(600)]))
    for row in range(20, 60):  # a picture exactly at the threshold counts as theirs, however many come with it
        exact = max(
            float(np.add.reduce(each.astype(np.float64) * vectors[row].astype(np.float64)))
            for each in guard.gallery.embeddings
        )
        at = LeakageGuard(guard.gallery, encoder, threshold=min(1, exact))
        above = LeakageGuard(guard.gallery, encoder, threshold=min(1, float(np.nextafter(exact, 2))))
        for companions in (vectors[row : row + 1], vectors[row : row + 200]):
            assert at.rejects(companions)[0] == (exact >= at.threshold)
            assert above.rejects(companions)[0] == (exact >= above.threshold)


def test_a_fingerprint_says_threshold_gallery_and_encoder():
    guard = guard_of([1, 2], threshold=0.5)
    assert guard.fingerprint == guard_of([1, 2], threshold=0.5).fingerprint
    assert pickle.loads(pickle.dumps(guard)).fingerprint == guard.fingerprint
    others = [
        guard_of([1, 2], threshold=0.6),
        guard_of([1, 3], threshold=0.5),
        guard_of([1, 2], FakeEncoder(fingerprint="other"), threshold=0.5),
    ]
    assert len({guard.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_a_gallerys_fingerprint_is_of_its_pictures():
    """An encoder that rounds in another way, on another machine, makes no other plan of the same pictures."""

    class Elsewhere(FakeEncoder):
        def embed(self, images):
            vectors = super().embed(images)
            return np.where(vectors > 0, np.nextafter(vectors, np.float32(0)), vectors)

    here, there = FakeEncoder(), Elsewhere()
    first, second = guard_of(range(1, 5), here), guard_of(range(1, 5), there)
    assert not np.array_equal(first.gallery.embeddings, second.gallery.embeddings)
    assert first.fingerprint == second.fingerprint
    assert gallery([1, 2], here).joined(gallery([3], here)).fingerprint == gallery([3, 1, 2], here).fingerprint


def test_what_cannot_be_right_is_refused():
    encoder = FakeEncoder()
    people = gallery([1, 2], encoder)
    with pytest.raises(ConfigurationError, match="neither threshold nor calibrate"):
        LeakageGuard(people, encoder)
    with pytest.raises(ConfigurationError, match="threshold beside calibrate"):
        LeakageGuard(people, encoder, threshold=0.5, calibrate=people)
    with pytest.raises(ConfigurationError, match="gallery of encoder 'fake-encoder'"):
        LeakageGuard(people, FakeEncoder(fingerprint="b"), threshold=0.5)
    with pytest.raises(ConfigurationError, match="an empty gallery"):
        Gallery(np.empty((0, 32), np.float32), np.empty(0, np.int64), (), "e")
    with pytest.raises(ConfigurationError, match="no face was found in any picture of p0"):
        gallery([0, 1], encoder)
    with pytest.raises(ConfigurationError, match="people with .* comparisons"):
        LeakageGuard(people, encoder, calibrate=gallery([3, 4], encoder))
    guard = LeakageGuard(people, encoder, threshold=0.5)
    with pytest.raises(ConfigurationError, match="row 0 holds NaN"):
        guard.rejects(np.full((1, 32), np.nan, np.float32))
    with pytest.raises(ConfigurationError, match="vectors here have 32"):
        guard.rejects(np.ones((1, 8), np.float32))
    with pytest.raises(ConfigurationError, match="has length"):
        guard.rejects(np.ones((1, 32), np.float32))


def test_a_broken_encoder_is_an_error_not_a_missing_face():
    def nonsense(images):
        return np.full((len(images), 4), np.nan)

    encoder = FunctionEncoder(nonsense, dimension=4)
    with pytest.raises(GenerationError, match="row 0 holds NaN"):
        embed(encoder, np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(ConfigurationError, match="uint8"):
        embed(encoder, np.zeros((2, 8, 8, 3), np.float32))


def test_a_function_gets_batches_of_one_size():
    sizes = []

    def mean(images):
        sizes.append(len(images))
        return images.reshape(len(images), -1, 3).mean(axis=1)

    encoder = FunctionEncoder(mean, dimension=3, batch=4)
    images = np.random.default_rng(0).integers(1, 255, (6, 8, 8, 3), dtype=np.uint8)
    vectors = encoder.embed(images)
    assert sizes == [4, 4]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.array_equal(vectors, np.concatenate([encoder.embed(image[None]) for image in images]))
    assert not encoder.embed(np.zeros((1, 8, 8, 3), np.uint8)).any()


class Together(FakeEncoder):
    """Lets a vector depend on how many pictures there are."""

    def embed(self, images):
        return super().embed(images) * np.float32(1 if len(images) < 3 else 0.9999)


class Long(FakeEncoder):
    """Forgets to normalise."""

    def embed(self, images):
        return super().embed(images) * 2


def test_encoders_are_held_to_their_promises():
    images = np.stack([face(3, 1), face(4, 2), face(0)])
    check_encoder(FakeEncoder(), images)
    with pytest.raises(AssertionError, match="one by one gives other vectors"):
        check_encoder(Together(), images)
    with pytest.raises(AssertionError, match="length"):
        check_encoder(Long(), images)


# -- the threshold


def test_scores_leave_a_picture_itself_out():
    vectors = person_vectors(np.array([1, 1, 2, 3]))
    scores = person_scores(vectors, np.array([0, 0, 1, 2]))
    assert scores[0, 0] == pytest.approx(1)
    assert scores[0, 1] == pytest.approx(float(vectors[0] @ vectors[2]), abs=1e-6)
    assert np.isnan(scores[2, 1])
    assert np.isnan(scores[3, 2])


@pytest.mark.parametrize("alpha", [0.02, 0.2])
def test_calibration_keeps_its_promise_on_people_it_has_not_seen(alpha):
    """Of fresh people, about alpha are rejected: as the mean over many calibrations, within what each one says."""
    rates, covered = [], 0
    for seed in range(12):
        draws = np.random.default_rng(seed)
        vectors = draws.standard_normal((2540, 24))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        known, fresh = vectors[:40], vectors[40:]
        found = calibrate_threshold(known, np.arange(40), np.arange(10), alpha=alpha, seed=seed)
        rate = float(((fresh @ known[:10].T).max(axis=1) >= found.threshold).mean())
        rates.append(rate)
        low, high = found.rejected_interval
        covered += low - 0.01 <= rate <= high + 0.01
        assert found.extrapolated == (alpha == 0.002)
    assert np.mean(rates) == pytest.approx(alpha, rel=0.6)
    assert covered >= 8


def test_beyond_what_was_measured_it_extrapolates_and_says_so():
    vectors = person_vectors(np.arange(30))
    found = calibrate_threshold(vectors, np.arange(30), np.arange(5), alpha=1e-3)
    highest = np.sort((vectors @ vectors.T)[~np.eye(30, dtype=bool)])[-1]
    assert found.extrapolated
    assert found.interval[0] < found.interval[1]
    assert highest - 0.02 < found.threshold < 1
    assert "extrapolated" in found.report()
    assert np.isnan(found.genuine)


def test_a_threshold_never_lets_the_gallerys_own_people_in():
    encoder = FakeEncoder(spread=2.5)  # pictures of one person hardly look alike
    people = gallery(range(1, 21), encoder, looks=6)
    rows = people.people
    found = calibrate_threshold(people.embeddings, rows, np.arange(5), alpha=1e-3)
    assert found.lowered
    assert found.threshold == pytest.approx(found.genuine, abs=1e-4)
    assert found.rejected > found.alpha
    assert "lowered" in found.report()


# -- in a stream


def test_a_guarded_stream_never_shows_the_gallery():
    guard = guard_of(range(1, 9))
    stream = stream_of(guard)
    unguarded = stream_of(False)
    shown = set().union(*(who(stream.batch(k)) for k in range(8)))
    assert shown <= set(range(9, 41))
    assert len(shown) > 25
    assert set().union(*(who(unguarded.batch(k)) for k in range(8))) & set(range(1, 9))
    stats = stream.stats()
    assert stats["rejected"] == stats["guard"]["rejected"] > 0
    assert "guard" not in unguarded.stats()
    kept = [k for k in range(16) if 1 + int(unguarded.batch(0)["identity"][k]) % 2**32 % 40 > 8]
    assert all((stream.batch(0)["image"][k] == unguarded.batch(0)["image"][k]).all() for k in kept)


def test_the_plan_has_the_guard_in_it():
    plans = [stream_of(g).plan for g in (False, guard_of([1, 2]), guard_of([1, 3]), guard_of([1, 2], threshold=0.5))]
    assert len(set(plans)) == 4
    assert stream_of(guard_of([1, 2])).plan == plans[1]


@pytest.mark.parametrize(("start", "block_size"), [("fork", 1), ("fork", 8), ("spawn", 8)])
@pytest.mark.timeout(300)
def test_workers_with_a_guard_do_not_hang_and_see_the_same(start, block_size):
    import faiss

    faiss.omp_set_num_threads(2)
    stream = stream_of(guard_of(range(1, 9)), generator=FaceGenerator(block_size=block_size), steps_per_epoch=8)
    alone = [stream.batch(k) for k in range(8)]  # the parent has searched, on its threads, before it forks
    loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context=start, timeout=120)
    for expected, batch in zip(alone, loader, strict=True):
        assert batch["step"] == expected["step"]
        assert (batch["image"] == expected["image"]).all()
        assert (batch["identity"] == expected["identity"]).all()


def test_ranks_share_a_guarded_sequence():
    alone = stream_of(guard_of(range(1, 9)))
    for rank in range(2):
        stream = stream_of(guard_of(range(1, 9)), rank=rank, world_size=2)
        for step, batch in zip(range(3), iter(stream)):
            assert (batch["image"] == alone.batch(2 * step + rank)["image"]).all()


def test_an_encoder_with_threads_is_refused_in_a_forked_worker():
    class Threaded(FakeEncoder):
        fork_safe = False

    stream = stream_of(guard_of([1], Threaded(), threshold=0.9), steps_per_epoch=2)
    loader = DataLoader(stream, batch_size=None, num_workers=1, multiprocessing_context="fork", timeout=120)
    with pytest.raises(ConfigurationError, match="forked worker.*spawn"):
        list(loader)


def test_another_hold_out_is_checked_without_embedding_again(tmp_path):
    first, second = FakeEncoder(), FakeEncoder()
    stream = stream_of(guard_of(range(1, 9), first), cache=tmp_path)
    stream.warm(0, 256)
    guard = guard_of(range(9, 17), second)
    before = second.embedded
    other = stream_of(guard, cache=tmp_path)
    stored = other.stored(0, 256)
    assert 100 < stored.sum() < 256
    cold = stream_of(guard_of(range(9, 17)))
    for k in range(16):
        assert (other.batch(k)["image"] == cold.batch(k)["image"]).all()
    # Only what the first stream has not shown is new: what replaces the second's people, and the first's people.
    assert second.embedded - before < 256 * 16 / 40 * 2.2
    assert who(other.batch(0)) & set(range(9, 17)) == set()


def test_a_merged_cache_brings_its_embeddings(tmp_path):
    from ausynth.store.merge import merge
    from ausynth.store.verify import verify

    stream_of(guard_of(range(1, 9)), cache=tmp_path / "a").warm(0, 64)
    stream_of(guard_of(range(1, 9)), cache=tmp_path / "b", seed=1).warm(0, 64)
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    encoder = FakeEncoder()
    for seed in (0, 1):
        guard = guard_of([300], encoder)
        before = encoder.embedded
        stream = stream_of(guard, cache=tmp_path / "c", seed=seed)
        assert stream.stored(0, 64).mean() > 0.6  # but for those that came at a later attempt
        assert encoder.embedded == before
    assert not verify(tmp_path / "c").damaged


def test_a_warmup_job_takes_a_guard(tmp_path):
    from ausynth.jobs import open_executor
    from ausynth.jobs.options import StreamOptions, read_options
    from ausynth.jobs.warmup import Warmup

    settings = {"real": None, "ratio": 1, "generator": FaceGenerator(), "balance": None, "image_size": 16}
    options = StreamOptions({**settings, "guard": guard_of(range(1, 9)), "cache": tmp_path})
    with open_executor("local", workers=1) as executor:
        done = Warmup(options, count=300, workers=1).run(executor)
    assert done.complete
    assert done.made == 300
    assert stream_of(guard_of(range(1, 9)), cache=tmp_path).stored(0, 300).all()
    (tmp_path / "stream.yaml").write_text("hold_out: P1\nguard: true\n")
    assert read_options(tmp_path / "stream.yaml")["guard"] is True


def test_a_warm_and_a_cold_guarded_stream_are_the_same(tmp_path):
    cold = [stream_of(guard_of(range(1, 9))).batch(k)["image"] for k in range(4)]
    encoder = FakeEncoder()
    stream_of(guard_of(range(1, 9), encoder), cache=tmp_path).warm(0, 64)
    guard = guard_of(range(1, 9), encoder)
    before = encoder.embedded
    warm = stream_of(guard, cache=tmp_path)
    assert warm.stored(0, 64).all()
    assert all((warm.batch(k)["image"] == cold[k]).all() for k in range(4))
    assert encoder.embedded == before  # what is stored under this plan has passed


def test_a_pool_is_guarded_and_embedded_once(tmp_path):
    stream_of(False, cache=tmp_path).warm(0, 200)
    first, second = FakeEncoder(), FakeEncoder()
    stream = stream_of(guard_of(range(1, 9), first), generator="rendered", synthetic=tmp_path)
    shown = set().union(*(who(batch) for _, batch in zip(range(20), iter(stream))))
    assert shown == set(range(9, 41))
    guard = guard_of(range(20, 30), second)
    before = second.embedded
    other = stream_of(guard, generator="rendered", synthetic=tmp_path)
    assert not who(other.batch(0)) & set(range(20, 30))
    assert second.embedded - before < 16


def test_a_guard_that_accepts_nothing_ends_in_an_error():
    with pytest.raises(GenerationError, match="rejected 17 times.*guard="):
        stream_of(guard_of(range(1, 41))).batch(0)


def test_damaged_embeddings_are_made_anew(tmp_path):
    keys = np.arange(160, dtype=np.uint8).reshape(10, 16)
    vectors = person_vectors(np.arange(10))
    memory = Remembered(tmp_path, "e", 32)
    memory.add(keys, vectors)
    memory.flush()
    file = next(memory.folder.glob("*.emb"))
    assert np.array_equal(Remembered(tmp_path, "e", 32).find(keys)[0], vectors)
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    with pytest.warns(UserWarning, match="checksum does not match.*embedded anew"):
        assert not Remembered(tmp_path, "e", 32).find(keys)[1].any()
    assert not Remembered(tmp_path, "other", 32).find(keys)[1].any()


# -- whom a stream holds out


@pytest.fixture
def named(monkeypatch):
    """Have open_source("disfa", hold_out=...) return fake subjects SN001 to SN032 of DISFA."""
    from ausynth.sources.folds import select, subject_order

    everyone = subject_order("disfa")

    def opened(name, root=None, *, align="none", **options):
        kept = select("disfa", everyone, **options)
        return FaceSource([everyone.index(who) for who in kept], everyone=27, each=4)

    for module in ("opening", "guarding"):
        home = "ausynth.sources.opening" if module == "opening" else "ausynth.guarding"
        monkeypatch.setattr(f"{home}.open_source", opened)
    monkeypatch.setattr(FaceSource, "subjects", everyone, raising=False)
    monkeypatch.setattr(FaceSource, "__init__", _init_with(everyone))
    return everyone


def _init_with(everyone):
    original = FaceSource.__init__

    def init(self, shown, **options):
        original(self, shown, **options)
        self.subjects = everyone

    return init


def test_guard_true_keeps_whom_the_stream_holds_out(named):
    from ausynth.sources.folds import PARTS

    encoder = FakeEncoder()
    stream = ausynth.MixedStream(
        "disfa",
        0.5,
        hold_out="P1",
        guard=encoder,
        generator=FaceGenerator(27),
        balance=None,
        image_size=16,
        batch_size=32,
        threads=0,
    )
    assert {name.partition(":")[2] for name in stream.guard.gallery.names} == set(PARTS["disfa"]["P1"])
    held = {1 + named.index(who) for who in PARTS["disfa"]["P1"]}
    for k in range(4):
        batch = stream.batch(k)
        made = batch["identity"][batch["synthetic"]] % 2**32
        assert not {1 + int(n) % 27 for n in made} & held
    again = ausynth.MixedStream(
        "disfa",
        0.5,
        keep=["P2", "P3"],
        guard=FakeEncoder(),
        generator=FaceGenerator(27),
        balance=None,
        image_size=16,
        batch_size=32,
        threads=0,
    )
    assert again.guard.fingerprint == stream.guard.fingerprint


def test_guard_true_needs_somebody_held_out(named):
    options = {"generator": FaceGenerator(), "balance": None, "image_size": 16}
    with pytest.raises(ConfigurationError, match="nobody held out"):
        ausynth.MixedStream("disfa", 0.5, guard=FakeEncoder(), **options)
    with pytest.raises(ConfigurationError, match="nobody held out"):
        ausynth.MixedStream(FaceSource([0, 1]), 0.5, guard=FakeEncoder(), **options)
    with pytest.raises(ConfigurationError, match="guard=3"):
        ausynth.MixedStream("disfa", 0.5, hold_out="P1", guard=3, **options)


@pytest.mark.parametrize("trained", ["disfa:SN001", "DISFA+:SN001", "disfa-plus:sn001"])
def test_a_generator_that_held_out_people_trained_is_refused(named, tmp_path, trained):
    options = {"balance": None, "image_size": 16, "batch_size": 8, "threads": 0}
    generator = FaceGenerator(trained_on=[trained, "disfa:SN003"])
    with pytest.raises(ConfigurationError, match="trained on disfa:SN001, whom this stream holds out"):
        ausynth.MixedStream("disfa", 0.5, hold_out="P1", generator=generator, **options)
    ausynth.MixedStream("disfa", 0.5, hold_out="P2", generator=generator, cache=tmp_path, **options).warm(0, 8)
    for pool in ({"synthetic": tmp_path}, {"generator": None, "cache": tmp_path}):  # it is remembered with its faces
        with pytest.raises(ConfigurationError, match="trained on disfa:SN001"):
            ausynth.MixedStream("disfa", 0.5, hold_out="P1", **pool, **options)


def test_people_under_two_names_are_held_out_together(named):
    plus = FaceSource([0, 5], name="disfa+")
    opened = [FaceSource([n for n in range(27) if n != 0]), plus]
    options = {"hold_out": {"disfa": "SN001"}, "keep": None, "fold": None}
    with pytest.raises(ConfigurationError, match=r"disfa\+:SN001 held out in one source and shown by another"):
        HeldOut.of(["disfa", plus], opened, **options)
    options["hold_out"] = {"disfa": ["SN002"]}
    opened[0] = FaceSource([n for n in range(27) if n != 1])
    assert HeldOut.of(["disfa", plus], opened, **options).subjects == {"disfa:SN002"}


def test_sources_that_are_open_hold_out_whom_none_of_them_shows(named):
    first, second = FaceSource(range(9)), FaceSource(range(9, 20))
    held = HeldOut.of([first, second], [first, second], hold_out=None, keep=None, fold=None)
    assert held.subjects == {f"disfa:{named[n]}" for n in range(20, 27)}
    generator = FaceGenerator(trained_on=[f"disfa:{named[25]}"])
    with pytest.raises(ConfigurationError, match=f"trained on disfa:{named[25]}"):
        ausynth.MixedStream([first, second], 0.5, generator=generator, balance=None, image_size=16)
