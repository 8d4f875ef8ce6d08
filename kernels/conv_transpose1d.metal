// A transposed convolution with its overlap-add, and the leaky ReLU before it.
//
//   x          (batch, length, channels)
//   weight     (out_channels, kernel_size, channels), kernel_size <= TAPS * stride
//   bias       (out_channels,)
//   slope      (1,), fp32: of the leaky ReLU below zero
//   sizes      (3,), int32: stride, padding, output_padding
//   out        (batch, frames, out_channels), row by row
//
// Inputs may have any strides. Of the output before padding is cut from it, frame
// q * stride + p sums the taps p, p + stride, ... over the input frames q, q - 1, ...: one product of
// the input's rows with stride * out_channels columns, in which a column is a phase p and a channel.
// Both factors come through threadgroup memory, DEPTH channels at a time. All sums are in fp32.
// Grid: (32 * GROUPS, ceil(stride * out_channels / 64), batch * blocks), a threadgroup for 64 columns
// of a block of ROWS * GROUPS input frames. A lane has two columns, a SIMD group ROWS frames.
constexpr int FRAMES = ROWS * GROUPS;
constexpr int COLUMNS = 64;
constexpr int PITCH = COLUMNS + 1;  // so that channels of one column lie in different banks

threadgroup float inputs[(FRAMES + TAPS - 1) * DEPTH];
threadgroup float factors[TAPS * DEPTH * PITCH];

const int lane = thread_index_in_simdgroup;
const int group = simdgroup_index_in_threadgroup;
const int thread_index = thread_index_in_threadgroup;
const int stride = sizes[0];
const int padding = sizes[1];
const int length = x_shape[1];
const int channels = x_shape[2];
const int out_channels = weight_shape[0];
const int kernel_size = weight_shape[1];
const int frames = (length - 1) * stride - 2 * padding + kernel_size + sizes[2];
const int blocks = (frames + padding + FRAMES * stride - 1) / (FRAMES * stride);
const int64_t row = threadgroup_position_in_grid.z / blocks;
const int begin = threadgroup_position_in_grid.z % blocks * FRAMES;
const int first_column = threadgroup_position_in_grid.y * COLUMNS;

float sums[ROWS][2];
for (int r = 0; r < ROWS; ++r) {
  sums[r][0] = 0.0f;
  sums[r][1] = 0.0f;
}
for (int depth = 0; depth < channels; depth += DEPTH) {
  for (int i = thread_index; i < (FRAMES + TAPS - 1) * DEPTH; i += 32 * GROUPS) {
    const int frame = begin - (TAPS - 1) + i / DEPTH;
    const int channel = depth + i % DEPTH;
    float value = 0.0f;
    if (frame >= 0 && frame < length && channel < channels) {
      value = float(x[row * x_strides[0] + frame * x_strides[1] + channel * x_strides[2]]);
    }
    inputs[i] = value < 0.0f ? slope[0] * value : value;
  }
  for (int i = thread_index; i < TAPS * COLUMNS * DEPTH; i += 32 * GROUPS) {
    const int channel = depth + i % DEPTH;
    const int column = i / DEPTH % COLUMNS;
    const int tap = i / (DEPTH * COLUMNS);
    const int phase = (first_column + column) / out_channels;
    const int k = phase + tap * stride;
    float value = 0.0f;
    if (phase < stride && k < kernel_size && channel < channels) {
      value = float(weight[(first_column + column) % out_channels * weight_strides[0] +
                           k * weight_strides[1] + channel * weight_strides[2]]);
    }
    factors[(tap * DEPTH + i % DEPTH) * PITCH + column] = value;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (int tap = 0; tap < TAPS; ++tap) {
    const int first = group * ROWS + TAPS - 1 - tap;  // the input of this SIMD group's first frame
    for (int d = 0; d < DEPTH; ++d) {
      const float left = factors[(tap * DEPTH + d) * PITCH + lane];
      const float right = factors[(tap * DEPTH + d) * PITCH + lane + 32];
      for (int r = 0; r < ROWS; ++r) {
        const float value = inputs[(first + r) * DEPTH + d];
        sums[r][0] += value * left;
        sums[r][1] += value * right;
      }
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}
for (int half_of_columns = 0; half_of_columns < 2; ++half_of_columns) {
  const int column = first_column + lane + 32 * half_of_columns;
  const int phase = column / out_channels;
  const int channel = column % out_channels;
  for (int r = 0; r < ROWS; ++r) {
    const int t = (begin + group * ROWS + r) * stride + phase - padding;
    if (phase < stride && t >= 0 && t < frames) {
      out[(row * frames + t) * out_channels + channel] =
          T(sums[r][half_of_columns] + float(bias[channel * bias_strides[0]]));
    }
  }
}
