// Second stage of adaptive instance norm: the parts' moments put together (Chan, Golub and LeVeque,
// "Updating formulae and a pairwise algorithm for computing sample variances", 1979), and with them
// every row normalised, styled and activated.
//
//   x, out            (batch, length, channels)
//   means, variances  (batch, parts, channels), fp32: of parts as the first stage makes them, or
//                     of one part that stands for all rows
//   gamma, beta       (batch, 1, channels), of the style
//   slopes            (channels,), of the activation: snake's frequency or the leaky ReLU's slope
//   eps               (1,), fp32
//
// Inputs may have any strides.
// Grid: (32 * GROUPS, ceil(channels / 32), batch * blocks), a threadgroup for 32 channels of a block
// of GROUPS * ROWS rows.
threadgroup float sums[32 * GROUPS];
threadgroup float squares[32 * GROUPS];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int length = x_shape[1];
const int channels = x_shape[2];
const int parts = means_shape[1];
const int blocks = (length + GROUPS * ROWS - 1) / (GROUPS * ROWS);
const int64_t row = threadgroup_position_in_grid.z / blocks;
const int begin = threadgroup_position_in_grid.z % blocks * (GROUPS * ROWS);
const int channel = threadgroup_position_in_grid.y * 32 + lane;
const bool is_channel = channel < channels;
auto own_means = means + row * means_strides[0] + channel * means_strides[2];
auto own_variances = variances + row * variances_strides[0] + channel * variances_strides[2];

// A part weighs as much as it has rows; one alone is the whole, whatever the length.
const float total = parts == 1 ? float(metal::min(length, GROUPS * ROWS)) : float(length);
float sum = 0.0f;
for (int part = group; part < parts && is_channel; part += GROUPS) {
  const float rows = float(metal::min(length - part * GROUPS * ROWS, GROUPS * ROWS));
  sum += rows * float(own_means[part * means_strides[1]]);
}
const float mean = add_up_groups<GROUPS>(sum, sums, lane, group) / total;
sum = 0.0f;
for (int part = group; part < parts && is_channel; part += GROUPS) {
  const float rows = float(metal::min(length - part * GROUPS * ROWS, GROUPS * ROWS));
  const float apart = float(own_means[part * means_strides[1]]) - mean;
  sum += rows * (float(own_variances[part * variances_strides[1]]) + apart * apart);
}
const float variance = add_up_groups<GROUPS>(sum, squares, lane, group) / total;

if (is_channel) {
  const float scale = (1.0f + float(gamma[row * gamma_strides[0] + channel * gamma_strides[2]])) *
                      metal::rsqrt(variance + eps[0]);
  const float shift = float(beta[row * beta_strides[0] + channel * beta_strides[2]]);
  const float slope = float(slopes[channel * slopes_strides[0]]);
  const int end = metal::min(begin + GROUPS * ROWS, length);
  for (int t = begin + int(group); t < end; t += GROUPS) {
    const float read =
        float(x[row * x_strides[0] + t * x_strides[1] + channel * x_strides[2]]);
    out[(row * length + t) * channels + channel] =
        T(activate<SNAKE>((read - mean) * scale + shift, slope));
  }
}
