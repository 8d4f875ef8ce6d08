// The inverse short-time Fourier transform: each frame's product with the windowed Fourier basis,
// the overlap-add of the frames, and its division by that of the squared window.
//
//   real, imag  (batch, frames, N_FFT / 2 + 1); where POLAR, the logarithm of the magnitude, and a
//               number whose sine is the phase
//   basis       (2 * (N_FFT / 2 + 1), N_FFT), fp32: for real parts over imaginary ones
//   window      (N_FFT,), fp32
//   out         (batch, (frames - 1) * HOP), fp32: without the half window at either end
//
// Inputs may have any strides.
// Grid: (32 * GROUPS, ceil((frames - 1) / HOPS), batch), a threadgroup for HOPS * HOP samples. The
// spectra that they come from are read, and made of their polar form, once for all of them.
constexpr int ROWS = 2 * (N_FFT / 2 + 1);
constexpr int OVERLAP = N_FFT / HOP;
constexpr int SPECTRA = HOPS + OVERLAP;  // one more if a half window is no whole number of hops

threadgroup float spectra[SPECTRA * ROWS];
threadgroup float waves[ROWS * N_FFT];

const int thread_index = thread_index_in_threadgroup;
const int64_t row = threadgroup_position_in_grid.z;
const int frames = real_shape[1];
const int samples = (frames - 1) * HOP;
// Of the overlapped frames, whose first sample is that of the first window.
const int begin = threadgroup_position_in_grid.y * (HOPS * HOP) + N_FFT / 2;
const int first_frame = begin / HOP - (OVERLAP - 1);

for (int i = thread_index; i < SPECTRA * (ROWS / 2); i += 32 * GROUPS) {
  const int index = i / (ROWS / 2);
  const int bin = i % (ROWS / 2);
  const int frame = first_frame + index;
  float along = 0.0f;
  float across = 0.0f;
  if (frame >= 0 && frame < frames) {
    along = float(real[row * real_strides[0] + frame * real_strides[1] + bin * real_strides[2]]);
    across = float(imag[row * imag_strides[0] + frame * imag_strides[1] + bin * imag_strides[2]]);
    if (POLAR) {
      const float magnitude = metal::exp(along);
      const float phase = metal::sin(across);
      along = magnitude * metal::cos(phase);
      across = magnitude * metal::sin(phase);
    }
  }
  spectra[index * ROWS + bin] = along;
  spectra[index * ROWS + ROWS / 2 + bin] = across;
}
for (int i = thread_index; i < ROWS * N_FFT; i += 32 * GROUPS) {
  waves[i] = basis[i / N_FFT * basis_strides[0] + i % N_FFT * basis_strides[1]];
}
threadgroup_barrier(mem_flags::mem_threadgroup);

for (int i = thread_index; i < HOPS * HOP; i += 32 * GROUPS) {
  const int at = begin + i;
  const int sample = at - N_FFT / 2;
  if (sample >= samples) {
    break;
  }
  float sum = 0.0f;
  float envelope = 0.0f;
  for (int overlap = 0; overlap < OVERLAP; ++overlap) {
    const int frame = at / HOP - overlap;
    const int n = at % HOP + overlap * HOP;  // in that frame's window
    if (frame >= 0 && frame < frames) {
      for (int wave = 0; wave < ROWS; ++wave) {
        sum += spectra[(frame - first_frame) * ROWS + wave] * waves[wave * N_FFT + n];
      }
      const float weight = window[n * window_strides[0]];
      envelope += weight * weight;
    }
  }
  out[row * samples + sample] = sum / envelope;
}
