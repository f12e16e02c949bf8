"""The adapter for ArcFace files, with a network of one matrix product written down by hand."""

from __future__ import annotations

import pickle
import struct

import numpy as np
import pytest

from ausynth.errors import ConfigurationError
from ausynth.samplers import ArcFaceEncoder
from ausynth.samplers.identity_onnx import _similarity
from ausynth.testing import check_encoder

POINTS = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])


def varint(n):
    data = b""
    while n > 127:
        data, n = data + bytes([n & 127 | 128]), n >> 7
    return data + bytes([n])


def field(number, value):
    """Return a field of a protocol buffer: a whole number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def value_info(name, *shape):
    sizes = b"".join(field(1, field(1, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, sizes)))


def network(weights):
    """Return ONNX data: (1, 3, 112, 112) -> average over blocks of 16 pixels -> flat -> times `weights`."""
    kernel = field(1, "kernel_shape") + field(20, 7) + b"".join(field(8, 16) for _ in range(2))
    strides = field(1, "strides") + field(20, 7) + b"".join(field(8, 16) for _ in range(2))
    nodes = [
        field(1, "x") + field(2, "p") + field(4, "AveragePool") + field(5, kernel) + field(5, strides),
        field(1, "p") + field(2, "f") + field(4, "Flatten"),
        field(1, "f") + field(1, "w") + field(2, "y") + field(4, "Gemm"),
    ]
    tensor = b"".join(field(1, size) for size in weights.shape) + field(2, 1) + field(8, "w")
    tensor += field(9, struct.pack(f"<{weights.size}f", *weights.ravel()))
    graph = b"".join(field(1, node) for node in nodes) + field(2, "g") + field(5, tensor)
    graph += field(11, value_info("x", 1, 3, 112, 112)) + field(12, value_info("y", 1, weights.shape[1]))
    return field(1, 7) + field(7, graph) + field(8, field(1, "") + field(2, 13))


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).standard_normal((147, 24)).astype(np.float32)


@pytest.fixture
def path(tmp_path, weights):
    (tmp_path / "net.onnx").write_bytes(network(weights))
    return tmp_path / "net.onnx"


def centred(image):
    """Return the five points of a face that already lies as the network expects it; none in a black picture."""
    return POINTS * image.shape[0] / 112 if image.any() else None


def test_a_network_gets_aligned_faces_from_minus_one_to_one(path, weights):
    encoder = ArcFaceEncoder(path, centred)
    images = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    images[1] = 0
    vectors = encoder.embed(images)
    assert encoder.dimension == 24
    assert not vectors[1].any()  # no face
    for row in (0, 2):
        scaled = (images[row].astype(np.float32) - 127.5) / 127.5
        pooled = scaled.reshape(7, 16, 7, 16, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(-1)
        wanted = pooled @ weights
        np.testing.assert_allclose(vectors[row], wanted / np.linalg.norm(wanted), atol=2e-3)
    check_encoder(encoder, images)


def test_it_pickles_and_says_what_it_is(path, tmp_path, weights):
    encoder = ArcFaceEncoder(path, centred)
    copy = pickle.loads(pickle.dumps(encoder))
    assert copy.fingerprint == encoder.fingerprint
    (tmp_path / "other.onnx").write_bytes(network(weights * 2))
    assert ArcFaceEncoder(tmp_path / "other.onnx", centred).fingerprint != encoder.fingerprint


def test_what_is_no_network_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no file"):
        ArcFaceEncoder(tmp_path / "none.onnx", centred)
    (tmp_path / "bad.onnx").write_bytes(b"\x00\x01nonsense")
    with pytest.raises(ConfigurationError, match="cannot be run"):
        ArcFaceEncoder(tmp_path / "bad.onnx", centred)


def test_a_similarity_is_found_from_its_points():
    turn = 0.3 * np.exp(0.7j)
    moved = (POINTS[:, 0] + 1j * POINTS[:, 1] - (4 + 9j)) / turn
    points = np.stack([moved.real, moved.imag], axis=1)
    matrix = _similarity(points, POINTS)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], POINTS, atol=1e-9)
