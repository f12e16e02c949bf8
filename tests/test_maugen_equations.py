"""MAUGen's equations against direct transcriptions in numpy, and where gradients flow and stop."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from maugen_fakes import TINY, batch_of, draws_of, inputs_of, model_of

from ausynth.errors import ConfigurationError
from ausynth.generators.maugen import losses
from ausynth.generators.maugen.codec import SpaceToDepth, to_bytes, to_signed
from ausynth.generators.maugen.config import PARTS, MAUGenConfig, preset
from ausynth.generators.maugen.cost import flops_of_pass
from ausynth.generators.maugen.dropping import Dropping
from ausynth.generators.maugen.idm import IdentityDecoupling, decoupled, modulation_mask, residual_filter
from ausynth.generators.maugen.model import Denoised, MAUGenModel
from ausynth.generators.maugen.objective import Auxiliaries, Objective
from ausynth.generators.maugen.pipeline import MAUGenPipeline, flow_scheduler
from ausynth.generators.maugen.process import DDPM, Flow
from ausynth.generators.maugen.sampling import Asked, noise_of, read_labels, sample
from ausynth.generators.maugen.unet import build_unet, decode, encode
from ausynth.generators.maugen.weighting import adaptive_weights, gradient_norms

NAN = float("nan")


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def randn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def t(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))


# --- the identity decoupling module ---------------------------------------------------------------------------------


def test_equation_6_the_modulation_mask() -> None:
    identity, keys = randn(2, 8), randn(2, 5, 8, seed=1)
    expected = np.stack([1 - sigmoid(identity[b] @ keys[b].T) for b in range(2)])
    np.testing.assert_allclose(modulation_mask(t(identity), t(keys)).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_equation_7_the_residual_filter() -> None:
    features, identity = randn(2, 5, 8), 7 * randn(2, 8, seed=1)
    unit = identity / np.linalg.norm(identity, axis=-1, keepdims=True)
    expected = np.stack([features[b] - np.outer(features[b] @ unit[b], unit[b]) for b in range(2)])
    np.testing.assert_allclose(residual_filter(t(features), t(identity)).numpy(), expected, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_nothing_of_the_identity_is_left_by_the_residual_filter(seed: int, scale: float) -> None:
    features, identity = randn(1, 6, 8, seed=seed), scale * randn(1, 8, seed=seed + 1)
    left = residual_filter(t(features), t(identity)).numpy()[0] @ (identity[0] / np.linalg.norm(identity[0]))
    np.testing.assert_allclose(left, 0, atol=1e-4)


@pytest.mark.parametrize("kind", ["logit", "weight"])
def test_equation_8_the_whole_module(kind: str) -> None:
    torch.manual_seed(0)
    module = IdentityDecoupling(8, masked=True, filtered=True, kind=kind)
    features, tokens = randn(2, 5, 8), randn(2, 3, 8, seed=1)

    def affine(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
        bias = 0 if layer.bias is None else layer.bias.detach().numpy()
        return x @ layer.weight.detach().numpy().T + bias

    def mlp(net: torch.nn.Sequential, x: np.ndarray) -> np.ndarray:
        hidden = affine(net[0], x)
        return affine(net[2], hidden * sigmoid(hidden))

    identity = tokens.mean(1)
    q, k, v = np.split(affine(module.to_qkv, features), 3, axis=-1)
    expected = np.empty_like(features)
    for b in range(2):
        m = 1 - sigmoid(mlp(module.mlp_mm, identity[b]) @ k[b].T)
        c = mlp(module.mlp_rf, identity[b])
        c /= np.linalg.norm(c)
        rest = features[b] - np.outer(features[b] @ c, c)
        logits = q[b] @ k[b].T / np.sqrt(8)
        if kind == "logit":
            weights = softmax(logits * m[None, :])
        else:
            weights = softmax(logits) * m[None, :]
            weights /= weights.sum(-1, keepdims=True)
        mixed = weights @ v[b] + rest
        centred = mixed - mixed.mean(-1, keepdims=True)
        expected[b] = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + module.norm.eps)
    found = module(t(features), t(tokens)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_mask_of_weights_takes_a_key_out_and_one_of_logits_does_not() -> None:
    query, key, value = randn(1, 1, 4), randn(1, 3, 4, seed=1), np.eye(3, 4, dtype=np.float32)[None]
    mask = t(np.array([[1e-6, 1, 1]]))
    gone = decoupled(t(query), t(key), t(value), mask, "weight")[0, 0, 0]
    shrunk = decoupled(t(query), t(key), t(value), mask, "logit")[0, 0, 0]
    assert gone < 1e-4
    assert shrunk > 0.05


# --- losses ---------------------------------------------------------------------------------------------------------


def test_equation_9_the_text_label_loss() -> None:
    asked = np.array([[0, 3, NAN], [5, NAN, 1]], np.float32)
    given_ = randn(2, 3)
    known = ~np.isnan(asked)
    expected = ((given_ - asked)[known] ** 2).mean()
    assert losses.text_label_loss(t(given_), t(asked)).item() == pytest.approx(expected, rel=1e-5)
    assert losses.text_label_loss(t(given_), t(np.full((2, 3), NAN))).item() == 0


def test_the_occurrence_loss() -> None:
    logits, there = 3 * randn(2, 3), np.array([[0, 1, NAN], [1, NAN, 0]], np.float32)
    known = ~np.isnan(there)
    p = sigmoid(logits)[known]
    expected = -(there[known] * np.log(p) + (1 - there[known]) * np.log(1 - p)).mean()
    assert losses.occurrence_loss(t(logits), t(there)).item() == pytest.approx(expected, rel=1e-4)


def test_equation_10_the_masked_denoising_loss() -> None:
    noise, guess = randn(2, 4, 3, 3), randn(2, 4, 3, 3, seed=1)
    mask = (randn(2, 1, 3, 3, seed=2) > 0).astype(np.float32)
    expected = ((mask * noise - mask * guess) ** 2).mean()
    assert losses.masked_denoising_loss(t(guess), t(noise), t(mask)).item() == pytest.approx(expected, rel=1e-5)
    plain = ((noise - guess) ** 2).mean()
    assert losses.masked_denoising_loss(t(guess), t(noise)).item() == pytest.approx(plain, rel=1e-5)


def test_equation_11_adaptive_weights() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(3))
    x, y = torch.randn(3), torch.randn(3)
    found = {"a": (weight * x).sum() ** 2, "b": 5 * (weight * y).sum(), "apart": (x * x).sum()}
    norms = {name: value.item() for name, value in gradient_norms(found, weight).items()}
    w = weight.detach().numpy()
    expected = {"a": np.linalg.norm(2 * (w @ x.numpy()) * x.numpy()), "b": np.linalg.norm(5 * y.numpy()), "apart": 0}
    assert norms == pytest.approx(expected, rel=1e-5)
    total = sum(expected.values()) + 1e-6
    paper = {name: value / total for name, value in expected.items()}
    assert adaptive_weights(norms, "paper") == pytest.approx(paper, rel=1e-5)
    inverse = adaptive_weights(norms, "inverse")
    assert inverse["a"] * norms["a"] == pytest.approx(inverse["b"] * norms["b"], rel=1e-3)
    assert inverse["apart"] == 0
    assert adaptive_weights(norms, "none") == {"a": 1, "b": 1, "apart": 1}


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 4.0, NAN]), min_size=3, max_size=3), min_size=1, max_size=4))
def test_the_consensus_of_detectors(seen: list[list[float]]) -> None:
    occurrence, intensity = losses.consensus(t(np.array(seen))[:, None])
    for au, column in enumerate(zip(*seen, strict=True)):
        known = [value for value in column if not np.isnan(value)]
        there, absent = [v for v in known if v >= 2], [v for v in known if v < 2]
        winners = max(there, absent, key=len)
        if len(winners) < 2 or len(there) == len(absent):
            assert torch.isnan(occurrence[0, au])
            assert torch.isnan(intensity[0, au])
        else:
            assert occurrence[0, au] == float(winners is there)
            assert intensity[0, au].item() == pytest.approx(np.mean(winners), rel=1e-5)


def test_the_image_label_loss_counts_what_detectors_agree_on_in_pictures_that_look_real() -> None:
    seen = t(np.array([[[0, 3]], [[1, 4]], [[5, 0]]])).expand(3, 2, 2).requires_grad_()
    logits, intensity = t(randn(2, 2)).requires_grad_(), t(randn(2, 2, seed=1)).requires_grad_()
    loss = losses.image_label_loss(logits, intensity, seen, torch.tensor([0.9, 0.4]))
    expected = losses.occurrence_loss(logits[:1], t(np.array([[0, 1]]))) + losses.text_label_loss(
        intensity[:1], t(np.array([[0.5, 3.5]]))
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert seen.grad is None
    assert logits.grad[1].abs().sum() == 0
    assert logits.grad[0].abs().sum() > 0
    nobody = losses.image_label_loss(logits, intensity, seen, torch.zeros(2))
    assert nobody.item() == 0


def test_the_directional_and_the_identity_loss() -> None:
    made, exemplar, prompt, neutral = randn(2, 6), randn(2, 6, seed=1), randn(2, 6, seed=2), randn(6, seed=3)

    def cos(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    expected = (1 - cos(made - exemplar, prompt - neutral)).mean()
    found = losses.directional_loss(t(made), t(exemplar), t(prompt), t(neutral))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert losses.identity_loss(t(made), t(exemplar)).item() == pytest.approx(
        (1 - cos(made, exemplar)).mean(), rel=1e-5
    )
    target = t(exemplar).requires_grad_()
    losses.identity_loss(t(made).requires_grad_(), target).backward()
    assert target.grad is None


# --- noise ----------------------------------------------------------------------------------------------------------


def test_a_condensed_prompt_is_few_tokens_and_says_as_much() -> None:
    model, wired = model_of(TINY.replace(text_tokens=3, plain_fine=1, scale_shift=True))
    one, two = (wired.text(wired.text.tokenize([words]))[0] for words in ("a smile", "a frown"))
    assert one.shape == (1, 3, TINY.token_width)
    assert not torch.allclose(one, two)
    kinds = [type(block).__name__ for block in model.unet.down_blocks]
    assert kinds == ["DownBlock2D", "CrossAttnDownBlock2D"]
    found = Objective(model, wired, dropping=Dropping(0, 0, 0, 0, 0))(batch_of(model, wired), draws_of(model))
    assert grads(model, found["denoise"])["text_encoder"] > 0


def test_the_losses_of_critics() -> None:
    seen, shown = randn(3, 2), randn(3, 2, seed=1)
    shown[1, 0] = NAN
    weight = np.array([1, 0.25, 0], np.float32)
    known = ~np.isnan(shown)
    expected = (weight[:, None] * np.where(known, (seen - np.nan_to_num(shown)) ** 2, 0)).sum() / known.sum()
    assert losses.expression_loss(t(seen), t(shown), t(weight)).item() == pytest.approx(expected, rel=1e-5)
    ours, theirs = [randn(3, 4, 2, 2), randn(3, 5, 1, 1)], [randn(3, 4, 2, 2, seed=1), randn(3, 5, 1, 1, seed=1)]
    shares = [((a - b) ** 2).mean((1, 2, 3)) / (b**2).mean() for a, b in zip(ours, theirs, strict=True)]
    found = losses.feature_loss([t(each) for each in ours], [t(each) for each in theirs], t(weight)).item()
    assert found == pytest.approx((weight * np.mean(shares, axis=0)).mean(), rel=1e-5)


def test_gradients_of_features_are_bounded_where_nothing_fires() -> None:
    ours = torch.zeros(2, 3, 2, 2, requires_grad=True)
    loss = losses.feature_loss([ours], [torch.ones(2, 3, 2, 2)], torch.ones(2))
    (gradient,) = torch.autograd.grad(loss, ours)
    assert gradient.norm() < 1


def test_nearly_clean_samples_do_not_outweigh_the_others() -> None:
    flow = Flow()
    times = torch.tensor([0.05, 0.1, 0.25, 0.5, 1.0])
    error = torch.full((5, 1, 1, 1), 0.1)
    velocity = flow.output(torch.zeros_like(error), error, times) * flow.importance(times)[:, None, None, None]
    weight = velocity.square().flatten() / 0.01
    torch.testing.assert_close(weight, torch.tensor([16.0, 16.0, 16.0, 4.0, 1.0]))


def test_critics_see_noisy_pictures_less_and_their_gradient_reaches_the_picture() -> None:
    class Critic(torch.nn.Module):
        def look(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
            maps = torch.nn.functional.avg_pool2d(images, 4)
            return maps.mean((2, 3))[:, : len(TINY.aus)] * 5, [maps]

    model, wired = model_of()
    objective = Objective(model, wired, dropping=Dropping(0, 0, 0, 0, 0), auxiliaries=Auxiliaries(critics=(Critic(),)))
    batch, draws = batch_of(model, wired), draws_of(model)
    found = objective(batch, draws)
    assert {"expression", "features"} <= set(found)
    assert grads(model, found["features"])["unet"] > 0
    clean = dataclasses.replace(draws, uniform=torch.full_like(draws.uniform, 1 - 1e-6))  # t = 1: nothing but noise
    noisy = objective(batch, clean)
    assert noisy["features"] < 1e-3 * found["features"]


def test_flow_matching_with_a_loss_on_the_velocity() -> None:
    flow, clean, noise = Flow(), randn(3, 2, 4, 4), randn(3, 2, 4, 4, seed=1)
    times = np.array([0.01, 0.3, 1], np.float32)
    wide = times[:, None, None, None]
    noisy = (1 - wide) * clean + wide * noise
    np.testing.assert_allclose(flow.add_noise(t(clean), t(noise), t(times)).numpy(), noisy, atol=1e-6)
    velocity = flow.target(t(clean), t(noise), t(noisy), t(times)).numpy()
    np.testing.assert_allclose(velocity[1:], (noise - clean)[1:], atol=1e-4)
    guess = randn(3, 2, 4, 4, seed=2)
    loss = losses.masked_denoising_loss(flow.output(t(guess), t(noisy), t(times)), t(velocity)).item()
    expected = ((guess - clean) ** 2 / np.maximum(wide, 0.05) ** 2).mean()
    assert loss == pytest.approx(expected, rel=1e-3)


def test_ddpm_is_that_of_diffusers() -> None:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="scaled_linear")
    process = DDPM(scheduler.alphas_cumprod)
    steps = torch.tensor([0, 500, 999])
    clean, noise = t(randn(3, 2, 4, 4)), t(randn(3, 2, 4, 4, seed=1))
    times = process.times(steps.float())
    assert process.steps(times).long().tolist() == steps.tolist()
    noisy = process.add_noise(clean, noise, times)
    torch.testing.assert_close(noisy, scheduler.add_noise(clean, noise, steps))
    torch.testing.assert_close(process.clean(noise, noisy, times)[:2], clean[:2], atol=1e-3, rtol=1e-3)


@given(st.floats(0, 1, exclude_max=True))
def test_times_lie_between_picture_and_noise(uniform: float) -> None:
    for process in (Flow(), DDPM(torch.linspace(0.99, 0.01, 1000))):
        time = process.draw_times(torch.tensor([uniform])).item()
        assert 0 < time < 1


def test_times_of_the_flow_are_often_where_few_steps_begin() -> None:
    times = Flow().draw_times((torch.arange(20_000) + 0.5) / 20_000)
    assert (times > 0.9).float().mean() == pytest.approx(0.25 * 0.1 + 0.75 * 0.014, abs=0.002)
    assert times.median() == pytest.approx(0.5, abs=0.01)


def test_euler_steps_of_the_flow_are_those_of_the_formula() -> None:
    model, wired = model_of()
    pipeline_noise = noise_of([1, 2], (12, 8, 8))
    asked = Asked(wired.text.tokenize(["", ""]), torch.full((2, 3), NAN))
    guess = t(randn(2, 12, 8, 8))
    seen: list[float] = []

    class Fixed:
        """Predicts one picture, and remembers when it was asked."""

        maugen = model.maugen
        first_c_au, next_c_au = model.first_c_au, model.next_c_au

        def __call__(self, latents: torch.Tensor, times: torch.Tensor, **rest: torch.Tensor) -> object:
            seen.append(times[0].item())
            out = model(latents, times, **rest)
            return type(out)(guess, out.labels)

    made = sample(Fixed(), wired, flow_scheduler(), pipeline_noise, asked, steps=4, guidance=1)
    np.testing.assert_allclose(seen, [1000, 750, 500, 250], rtol=1e-5)
    x = pipeline_noise.numpy()
    for moment in (1, 0.75, 0.5, 0.25):
        x = x - 0.25 * (x - guess.numpy()) / moment
    np.testing.assert_allclose(made.latents.numpy(), x, atol=1e-4)
    np.testing.assert_allclose(x, guess.numpy(), atol=1e-4)  # the last step goes all the way


# --- mutual conditioning --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moves", [True, False])
def test_equations_3_and_4_each_steps_queries_condition_the_next(moves: bool) -> None:
    model, wired = model_of(TINY if moves else TINY.without("mutual_conditioning"))
    asked = Asked(wired.text.tokenize(["brows"]), torch.tensor([[0.0, 3, 1]]))
    conditions, answered, said = [], [], []

    def hook(module: object, args: object, kwargs: dict[str, torch.Tensor], out: Denoised) -> None:
        conditions.append(kwargs["c_au"].numpy())
        answered.append(out.labels.queries.numpy())
        said.append(out.labels.intensity[0].numpy())

    model.register_forward_hook(hook, with_kwargs=True)
    made = sample(model, wired, flow_scheduler(), noise_of([3], (12, 8, 8)), asked, steps=3, guidance=2)
    expected = model.first_c_au(wired.text, 2).detach().numpy()
    for step in range(3):
        np.testing.assert_allclose(conditions[step], expected, atol=1e-5)
        if moves:
            expected = 0.9 * expected + 0.1 * answered[step]
    # Labels of the way: weights 1 / (steps left), late steps most, of the half that was told.
    weights = np.array([1 / 3, 1 / 2, 1])
    intensity = sum(w * each for w, each in zip(weights, said, strict=True)) / weights.sum()
    np.testing.assert_allclose(made.decoded.intensity[0].numpy(), intensity, atol=1e-4)


def test_c_au_is_detached() -> None:
    model, wired = model_of()
    inputs = inputs_of(model, wired)
    c_au = inputs["c_au"].detach().clone().requires_grad_()
    out = model(**inputs | {"c_au": c_au})
    (out.prediction.sum() + out.labels.intensity.sum()).backward()
    assert c_au.grad is None
    assert not model.next_c_au(c_au, out.labels.queries).requires_grad


def grads(model: MAUGenModel, loss: torch.Tensor) -> dict[str, float]:
    model.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    sums = {}
    for name, part in model.named_children():
        found = [p.grad.abs().sum().item() for p in part.parameters() if p.grad is not None]
        sums[name] = sum(found)
    return sums


@pytest.mark.parametrize("first", [False, True])
def test_where_gradients_flow_and_where_they_stop(first: bool) -> None:
    model, wired = model_of()
    objective = Objective(model, wired, dropping=Dropping(0, 0, 0, 0, 0))
    found = objective(batch_of(model, wired), draws_of(model, first=first))
    painted = grads(model, found["denoise"])
    # The picture's loss reaches all that paints, and stops at C_AU: the label decoder learns nothing of it.
    assert painted["cld"] == 0
    assert min(painted[part] for part in ("unet", "conditioner", "identity_encoder", "text_encoder")) > 0
    labelled = grads(model, found["intensity"])
    assert min(labelled.values()) > 0
    assert all(norm > 0 for norm in gradient_norms(found, model.last_mrl_weight).values())


def test_labels_are_read_without_hearing_what_was_asked() -> None:
    model, wired = model_of()
    latents, noises = t(randn(2, 12, 8, 8)), [t(randn(2, 12, 8, 8, seed=1))]
    identity = model.identify(torch.zeros(2, 3, 16, 16))
    read = [
        read_labels(model, wired, latents, noises, Asked(wired.text.tokenize([said] * 2), asked, identity))
        for said, asked in (("extreme brow lowerer", torch.full((2, 3), 5.0)), ("", torch.zeros(2, 3)))
    ]
    assert torch.equal(read[0].intensity, read[1].intensity)
    other = read_labels(model, wired, latents.flip(0), noises, Asked(wired.text.tokenize([""] * 2), torch.zeros(2, 3)))
    assert not torch.equal(read[0].intensity, other.intensity)


# --- the network ----------------------------------------------------------------------------------------------------


def test_the_two_halves_of_the_unet_are_the_whole() -> None:
    config = TINY.without("pooled")
    model, wired = model_of(config)
    inputs = inputs_of(model, wired)
    joint = model.conditioner(inputs["text"], inputs["identity"], None, inputs["intensity"], inputs["c_au"])
    halves, taps = decode(model.unet, encode(model.unet, inputs["sample"], inputs["time"], joint), joint, (0, 1))
    whole = model.unet(inputs["sample"], inputs["time"], joint.tokens).sample
    torch.testing.assert_close(halves, whole)
    assert [tap.shape[-1] for tap in taps] == [8, 8]
    assert joint.tokens.shape == (2, 8 + 2 + 3, 16)


def test_the_sd15_preset_is_the_inpainting_shape() -> None:
    config = preset("sd15", aus="disfa-12")
    with torch.device("meta"):
        unet = build_unet(config)
    assert (unet.conv_in.in_channels, unet.conv_out.out_channels) == (9, 4)
    assert sum(p.numel() for p in unet.parameters()) == pytest.approx(859.5e6, rel=0.002)  # Stable Diffusion 1.5
    # 803 GFLOP are the UNet's (with 77 tokens, attention counted); the label decoder adds a hundredth.
    assert flops_of_pass(config) == pytest.approx(0.814e12, rel=0.01)
    assert [unet.config.block_out_channels[::-1][tap] for tap in config.taps] == [1280, 640, 320]


ONLY = {
    "identity": ("identity_encoder.", "no_identity", ".mlp_mm.", ".mlp_rf."),
    "modulation_mask": (".mlp_mm.",),
    "residual_filter": (".mlp_rf.",),
    "mutual_conditioning": (),
    "text_queries": (),
    "lgfe": (".lgfe.",),
    "au_tokens": (".directions", ".unknown"),
    "pooled": (".to_time.",),
}


@pytest.mark.parametrize("part", PARTS)
def test_switching_a_part_off_takes_away_its_weights_and_no_others(part: str) -> None:
    full, less = (MAUGenModel(config.to_json()) for config in (TINY, TINY.without(part)))
    gone = set(full.state_dict()) - set(less.state_dict())
    assert not set(less.state_dict()) - set(full.state_dict())
    assert all(any(mark in name for mark in ONLY[part]) for name in gone)
    assert all(any(mark in name for name in gone) for mark in ONLY[part])


SILENCED = {
    "modulation_mask": ".mlp_mm.2.",  # M is 1/2 everywhere: renormalised, no mask
    "residual_filter": ".mlp_rf.2.",  # the direction is 0: nothing is taken out
    "lgfe": ".lgfe.read_queries.to_out.",
    "au_tokens": ("conditioner.directions", "conditioner.unknown"),
    "pooled": ".to_time.",
}


@pytest.mark.parametrize("part", SILENCED)
def test_switching_a_part_off_is_the_same_as_silencing_it(part: str) -> None:
    config = TINY.replace(mask="weight")
    full, wired = model_of(config)
    less, _ = model_of(config.without(part))
    inputs = inputs_of(full, wired)
    before = full(**inputs)
    marks = SILENCED[part] if isinstance(SILENCED[part], tuple) else (SILENCED[part],)
    with torch.no_grad():
        for name, parameter in full.named_parameters():
            if any(mark in name for mark in marks):
                parameter.zero_()
    less.load_state_dict({name: each for name, each in full.state_dict().items() if name in less.state_dict()})
    silenced, without = full(**inputs), less(**inputs)
    torch.testing.assert_close(without.prediction, silenced.prediction)
    torch.testing.assert_close(without.labels.intensity, silenced.labels.intensity, atol=1e-4, rtol=1e-4)
    moved, still = ((each.labels.queries - silenced.labels.queries).abs().max() for each in (before, without))
    assert moved > 20 * still
    assert moved > 1e-4


def test_queries_begin_at_the_descriptions_of_the_aus_or_as_noise() -> None:
    queries, texts = [], []
    for config in (TINY, TINY.without("text_queries")):
        torch.manual_seed(0)
        model = MAUGenPipeline.create(config).model
        queries.append(model.cld.queries)
        texts.append(model.first_c_au(model.text_encoder, 1)[0])
    said = texts[0]
    torch.testing.assert_close(queries[0], said)
    torch.testing.assert_close(texts[1], said)  # all else begins alike
    assert not torch.allclose(queries[1], said, atol=0.1)
    apart = torch.nn.functional.cosine_similarity(said[:, None], said[None], dim=-1)
    assert apart[~torch.eye(3, dtype=torch.bool)].max() < 0.99


def test_a_dropped_identity_is_nobody_and_a_dropped_au_is_unknown() -> None:
    model, wired = model_of()
    inputs = inputs_of(model, wired)
    dropped = model(**inputs, known=torch.tensor([True, False]))
    kept, nobody = model(**inputs), model(**inputs | {"identity": None})
    torch.testing.assert_close(dropped.prediction[0], kept.prediction[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(dropped.prediction[1], nobody.prediction[1], atol=1e-5, rtol=1e-4)
    open_ = inputs["intensity"].clone()
    open_[0, 1] = NAN
    zero = inputs["intensity"].clone()
    zero[0, 1] = 0
    answers = [model(**inputs | {"intensity": each}).prediction[0] for each in (open_, zero)]
    assert not torch.allclose(*answers)
    assert torch.isfinite(answers[0]).all()


@given(st.integers(0, 1000))
def test_conditions_are_dropped_as_often_as_said(seed: int) -> None:
    draw = np.random.default_rng(seed)
    uniform, times = t(draw.random((4000, 5))), t(draw.random(4000))
    drops = Dropping(text=0.1, identity=0.2, aus=0.3, everything=0.05, expression=0.7, below=0.35).draw(uniform, times)
    low = times < 0.35
    assert drops.identity.float().mean().item() == pytest.approx(1 - 0.8 * 0.95, abs=0.03)
    assert drops.aus[~low].float().mean().item() == pytest.approx(1 - 0.7 * 0.95, abs=0.05)
    assert drops.aus[low].float().mean().item() == pytest.approx(1 - 0.7 * 0.95 * 0.3, abs=0.05)
    assert (drops.text & drops.aus)[low].float().mean() > 0.65


def test_space_to_depth_loses_nothing() -> None:
    images = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    codec = SpaceToDepth(4)
    latents = codec.encode(to_signed(images))
    assert latents.shape == (2, 48, 4, 4)
    assert torch.equal(to_bytes(codec.decode(latents)), images)


def test_losses_on_pictures_are_taken_where_networks_are_given() -> None:
    model, wired = model_of()
    shown: list[torch.Size] = []

    def detector(images: torch.Tensor) -> torch.Tensor:
        shown.append(images.shape)
        return images.mean((2, 3)) * 5

    def embed(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images, 4).flatten(1)

    networks = Auxiliaries(
        detectors=(detector, detector),
        realism=lambda images: torch.ones(len(images)),
        identity=embed,
        image_embedding=embed,
        text_embedding=lambda tokens: torch.nn.functional.one_hot(tokens.flatten(1).sum(1) % 48, 48).float(),
        below=1.0,
    )
    objective = Objective(model, wired, dropping=Dropping(0, 0, 0, 0, 0), auxiliaries=networks)
    found = objective(batch_of(model, wired), draws_of(model))
    assert set(found) == {"denoise", "intensity", "occurrence", "image_label", "identity", "text_image"}
    assert shown[0] == (3, 3, 16, 16)
    assert all(torch.isfinite(loss) for loss in found.values())
    assert grads(model, found["identity"])["unet"] > 0
    unjudged = Objective(model, wired, auxiliaries=dataclasses.replace(networks, below=0.0))
    late = unjudged(batch_of(model, wired), draws_of(model))
    assert set(late) == set(found)  # by name in every step, so that processes can average them
    assert all(late[name] == 0 for name in ("image_label", "identity", "text_image"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image_size": 30}, "multiple of 16"),
        ({"latent_channels": 4}, "48"),
        ({"taps": (3,)}, "up blocks 0 to 2"),
        ({"plain_fine": 2, "plain_levels": 1}, "at least one resolution"),
        ({"mask": "both"}, "logit"),
        ({"identity": False}, "modulation_mask=False"),
        ({"aus": (3,)}, "unknown AU 3"),
        ({"wings": 2}, "no wings"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        preset("mini").replace(**changes)


def test_a_configuration_survives_json() -> None:
    for name in ("mini", "mini-112", "sd15"):
        config = preset(name, aus="bp4d-12")
        assert MAUGenConfig.from_json(config.to_json()) == config
