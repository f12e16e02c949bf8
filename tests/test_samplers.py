from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.samplers.base import LabelSampler
from ausynth.samplers.combinations import CombinationSampler

spaces = st.lists(st.sampled_from(list(facs.ACTION_UNITS)), min_size=1, max_size=25, unique=True)


@example(aus=[1, 2, 4, 5, 27, 6, 7, 8, 9, 10, 11, 12, 13, 24, 25], seed=0, start=0)  # 27 brings 25, which bars 24
@given(aus=spaces, seed=st.integers(0, 2**40), start=st.integers(0, 10**12))
def test_label_vectors_are_possible_and_in_range(aus, seed, start):
    vectors = CombinationSampler(aus).sample(np.arange(start, start + 200), seed)
    assert vectors.shape == (200, len(aus))
    assert vectors.dtype == np.float32
    assert set(np.unique(vectors)) <= {0, 1, 2, 3, 4, 5}
    assert facs.is_possible(vectors, aus).all()


@given(ordinals=st.lists(st.integers(0, 10**12), min_size=1, max_size=20), seed=st.integers(0, 2**40))
def test_a_vector_depends_on_its_ordinal_alone(ordinals, seed):
    sampler = CombinationSampler(facs.UNION_17)
    together = sampler.sample(np.array(ordinals), seed)
    alone = np.concatenate([sampler.sample(np.array([j]), seed) for j in ordinals])
    assert np.array_equal(together, alone)


def test_every_au_of_the_focus_is_shown_often_and_the_others_now_and_then():
    sampler = CombinationSampler(facs.UNION_17, focus=facs.DISFA_8)
    rates = dict(zip(sampler.aus, (sampler.sample(np.arange(20_000), 0) > 0).mean(axis=0), strict=True))
    assert min(rates[au] for au in facs.DISFA_8) > 0.15
    assert min(rates[au] for au in facs.UNION_17) > 0.02
    assert max(rates.values()) < 0.6


def test_seeds_differ():
    sampler = CombinationSampler(facs.UNION_17)
    assert not np.array_equal(sampler.sample(np.arange(50), 0), sampler.sample(np.arange(50), 1))


def test_it_is_a_label_sampler_and_says_what_it_is():
    sampler = CombinationSampler(facs.UNION_17)
    assert isinstance(sampler, LabelSampler)
    assert sampler.fingerprint == CombinationSampler(facs.UNION_17).fingerprint
    assert sampler.fingerprint != CombinationSampler(facs.UNION_17, focus=(1,)).fingerprint


def test_a_focus_that_the_generator_cannot_show():
    with pytest.raises(ConfigurationError, match="controls none"):
        CombinationSampler((1, 2), focus=(12,))
