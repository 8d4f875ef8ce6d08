"""Short transforms against torch's, and as inverses of one another."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from support import package

from mlx_speak.nn.spectral import istft, stft

SIZES = [(20, 5), (16, 4), (8, 8), (12, 6)]


def _signal(samples: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(samples).normal(size=(batch, samples)).astype(np.float32)


@pytest.mark.oracle
@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
@pytest.mark.parametrize("samples", [15, 100, 613])
def test_stft_equals_torch(n_fft: int, hop: int, samples: int):
    torch = package("torch")
    x = _signal(samples)
    window = torch.hann_window(n_fft)
    expected = torch.stft(torch.tensor(x), n_fft, hop, window=window, return_complex=True)
    expected = expected.numpy().swapaxes(1, 2)
    real, imag = stft(mx.array(x), n_fft, hop)
    # Sums of at most 20 values of order one.
    np.testing.assert_allclose(real, expected.real, atol=5e-6)
    np.testing.assert_allclose(imag, expected.imag, atol=5e-6)


@pytest.mark.oracle
@pytest.mark.parametrize(("n_fft", "hop"), [size for size in SIZES if size[0] > size[1]])
def test_istft_equals_torch_for_spectra_of_no_signal(n_fft: int, hop: int):
    torch = package("torch")
    rng = np.random.default_rng(n_fft)
    real, imag = rng.normal(size=(2, 2, 31, n_fft // 2 + 1)).astype(np.float32)
    spectrum = torch.tensor((real + 1j * imag).swapaxes(1, 2))
    expected = torch.istft(spectrum, n_fft, hop, window=torch.hann_window(n_fft)).numpy()
    ours = istft(mx.array(real), mx.array(imag), n_fft, hop)
    # The envelope divides by as little as 0.35 near the borders.
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("samples", [60, 600])
def test_inverse(samples: int):
    x = _signal(samples)
    np.testing.assert_allclose(istft(*stft(mx.array(x), 20, 5), 20, 5), x, atol=5e-6)


def test_phase_at_zero_and_nyquist_is_exactly_real():
    _, imag = stft(mx.array(_signal(400)), 20, 5)
    assert not np.array(imag)[..., [0, -1]].any()


def test_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="too few"):
        stft(mx.zeros((1, 10)), 20, 5)
    with pytest.raises(ValueError, match="multiple"):
        istft(mx.zeros((1, 4, 11)), mx.zeros((1, 4, 11)), 20, 6)
    with pytest.raises(ValueError, match="even"):
        stft(mx.zeros((1, 100)), 15, 5)
