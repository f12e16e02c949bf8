from __future__ import annotations

import multiprocessing
import os
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kills import killed_at

from ausynth.errors import ConfigurationError, StoreError
from ausynth.samplers import IdentityIndex


def unit(count, dimension=48, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def filled(vectors, **options):
    index = IdentityIndex(vectors.shape[1], **options)
    index.add(vectors)
    return index


@pytest.fixture(scope="module")
def vectors():
    return unit(3000)


@pytest.fixture(scope="module")
def lists(vectors):
    return filled(vectors, largest_flat=2000)


def test_a_flat_index_finds_what_comparing_all_finds(vectors):
    index, queries = filled(vectors), unit(70, seed=1)
    cosines = queries @ vectors.T
    ids, found = index.nearest(queries, 3)
    assert np.array_equal(ids[:, 0], cosines.argmax(axis=1))
    np.testing.assert_allclose(found, np.sort(cosines, axis=1)[:, ::-1][:, :3], atol=1e-5)
    near = index.within(queries, 0.4)
    assert set(zip(near.rows.tolist(), near.ids.tolist())) == set(
        zip(*map(np.ndarray.tolist, np.nonzero(cosines >= 0.4)))
    )
    assert (np.diff(near.rows) >= 0).all()


def test_blocks_are_one_index(monkeypatch):
    monkeypatch.setattr("ausynth.samplers.identity_vectors._BLOCK", 100)
    vectors = unit(350)
    index = filled(vectors[:120])
    index.add(vectors[120:])
    assert index.nearest(vectors)[0][:, 0].tolist() == list(range(350))
    assert index.remove(range(90, 215)) == 125
    assert len(index) == 225
    left = [n for n in range(350) if not 90 <= n < 215]
    assert index.nearest(vectors[left])[0][:, 0].tolist() == left


def test_the_large_index_finds_a_match_among_clustered_vectors():
    draws = np.random.default_rng(3)
    centres = unit(400, 64, seed=2)
    people = draws.integers(400, size=8000)
    noisy = centres[people] + 0.08 * draws.standard_normal((8000, 64)).astype(np.float32)
    vectors = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    index = filled(vectors[:7500], largest_flat=5000)
    ids, _ = index.nearest(vectors[7500:])
    assert np.mean(people[ids[:, 0]] == people[7500:]) >= 0.98


@pytest.mark.parametrize("large", [False, True])
def test_saved_and_loaded_it_is_the_same(tmp_path, vectors, lists, large):
    index = lists if large else filled(vectors, encoder="e")
    index.save(tmp_path / "index")
    loaded = IdentityIndex.load(tmp_path / "index")
    assert loaded.fingerprint == index.fingerprint
    assert np.array_equal(loaded.nearest(vectors[:50], 2)[0], index.nearest(vectors[:50], 2)[0])
    assert loaded.remove([3, 4, 99_999]) == 2
    assert pickle.loads(pickle.dumps(index)).fingerprint == index.fingerprint
    loaded.add(unit(1, seed=9))
    assert loaded.nearest(unit(1, seed=9))[0][0, 0] == 3000


def test_another_encoders_index_is_refused(tmp_path, vectors):
    filled(vectors, encoder="one").save(tmp_path / "index")
    assert IdentityIndex.load(tmp_path / "index", encoder="one").encoder == "one"
    with pytest.raises(ConfigurationError, match="encoder 'one'.*two encoders cannot be compared"):
        IdentityIndex.load(tmp_path / "index", encoder="two")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "index"
    filled(unit(20)).save(path)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes({"flip": data, "cut": data[:-5], "empty": b"", "other": b"x" * 400}[damage])
    with pytest.raises(StoreError, match="damaged|no index of faces"):
        IdentityIndex.load(path)
    with pytest.raises(StoreError, match="cannot be read"):
        IdentityIndex.load(tmp_path / "none")


def test_a_kill_at_any_step_of_saving_leaves_a_whole_index(tmp_path):
    path = tmp_path / "index"
    old, new = filled(unit(40)), filled(unit(60, seed=5))
    old.save(path)
    allowed = {old.fingerprint, new.fingerprint}
    step = 0
    while killed_at(step, lambda: new.save(path)):
        assert IdentityIndex.load(path).fingerprint in allowed
        step += 1
    assert step > 3
    assert IdentityIndex.load(path).fingerprint == new.fingerprint


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.sets(st.integers(0, 5)))
def test_ids_may_repeat_and_removing_takes_all_of_them(ids, gone):
    vectors = unit(len(ids), 8)
    index = IdentityIndex(8)
    index.add(vectors, ids)
    assert index.remove(sorted(gone)) == sum(number in gone for number in ids)
    left = [row for row, number in enumerate(ids) if number not in gone]
    assert len(index) == len(left)
    if left:
        assert index.nearest(vectors[left])[0][:, 0].tolist() == [ids[row] for row in left]


def test_what_cannot_be_right_is_refused(vectors):
    index = filled(vectors)
    nan, long = vectors[:3].copy(), vectors[:3] * 2
    nan[1, 4] = np.nan
    for method in (index.add, index.nearest):
        with pytest.raises(ConfigurationError, match="row 1 holds NaN"):
            method(nan)
        with pytest.raises(ConfigurationError, match="row 0 has length 2.*unit vectors"):
            method(long)
        with pytest.raises(ConfigurationError, match=r"shape \(3, 47\).*vectors here have 48"):
            method(vectors[:3, :47])
        with pytest.raises(ConfigurationError, match="no face was found in 1 of 2"):
            method(np.stack([vectors[0], np.zeros(48, np.float32)]))
    with pytest.raises(ConfigurationError, match="a search in an empty index"):
        IdentityIndex(48).nearest(vectors[:1])
    with pytest.raises(ConfigurationError, match="one whole number from 0 each"):
        index.add(vectors[:2], ids=[1])
    with pytest.raises(ConfigurationError, match="FAISS finds no GPU|^$"):
        IdentityIndex(48, gpu=True) if not _has_gpu() else pytest.skip("this FAISS has a GPU")
    assert len(index) == 3000


def _has_gpu():
    import faiss

    return faiss.get_num_gpus() > 0


def test_searching_and_adding_at_once(vectors):
    index, errors = filled(vectors[:500]), []

    def search():
        try:
            for _ in range(60):
                ids, cosines = index.nearest(vectors[:40])
                assert np.array_equal(ids[:, 0], np.arange(40))
                assert (cosines > 0.999).all()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for first in range(500, 3000, 50):
        index.add(vectors[first : first + 50])
    for thread in threads:
        thread.join()
    assert not errors
    assert len(index) == 3000


def _search_in_child(index, vectors, pipe):
    ids, cosines = index.nearest(vectors, 2)
    near = index.within(vectors, 0.5)
    try:
        index.add(vectors)
        refused = ""
    except ConfigurationError as error:
        refused = str(error)
    pipe.send((ids, cosines, near.ids, refused))
    os._exit(0)


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("large", [False, True])
def test_children_search_without_hanging_and_find_the_same(vectors, lists, start, large):
    import faiss
    import torch

    faiss.omp_set_num_threads(2)  # a parent that has used several threads is what makes a forked child hang
    torch.set_num_threads(2)
    torch.randn(400, 400) @ torch.randn(400, 400)
    index = lists if large else filled(vectors)
    queries = vectors[:64]
    ids, cosines = index.nearest(np.concatenate([queries] * 4), 2)
    context = multiprocessing.get_context(start)
    ours, theirs = context.Pipe()
    child = context.Process(target=_search_in_child, args=(index, queries, theirs), daemon=True)
    child.start()
    try:
        assert ours.poll(120), "the child hangs"
        found, near, within, refused = ours.recv()
    finally:
        child.kill()
        child.join()
    assert np.array_equal(found, ids[:64])
    np.testing.assert_allclose(near, cosines[:64], atol=1e-5)
    assert len(within) == len(index.within(queries, 0.5))
    assert bool(refused) == (start == "fork")
