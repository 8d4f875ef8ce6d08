// Adaptive instance norm and the activation behind it in one pass, where rows are so few that a
// threadgroup holds those of its channels in registers.
//
//   x, out       (batch, length, channels), length <= GROUPS * ROWS
//   gamma, beta  (batch, 1, channels), of the style
//   slopes       (channels,), of the activation: snake's frequency or the leaky ReLU's slope
//   eps          (1,), fp32
//
// Inputs may have any strides.
// Grid: (32 * GROUPS, ceil(channels / 32), batch), a threadgroup for 32 channels.
threadgroup float sums[32 * GROUPS];
threadgroup float squares[32 * GROUPS];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int length = x_shape[1];
const int channels = x_shape[2];
const int64_t row = threadgroup_position_in_grid.z;
const int channel = threadgroup_position_in_grid.y * 32 + lane;
const bool is_channel = channel < channels;

float kept[ROWS];
float mean;
float variance;
moments_of_rows<GROUPS, ROWS>(x + row * x_strides[0] + channel * x_strides[2], x_strides[1], length,
                              is_channel, sums, squares, lane, group, kept, mean, variance);
if (is_channel) {
  const float scale = (1.0f + float(gamma[row * gamma_strides[0] + channel * gamma_strides[2]])) *
                      metal::rsqrt(variance + eps[0]);
  const float shift = float(beta[row * beta_strides[0] + channel * beta_strides[2]]);
  const float slope = float(slopes[channel * slopes_strides[0]]);
  for (int i = 0; i < ROWS; ++i) {
    const int t = group + i * GROUPS;
    if (t < length) {
      out[(row * length + t) * channels + channel] =
          T(activate<SNAKE>((kept[i] - mean) * scale + shift, slope));
    }
  }
}
