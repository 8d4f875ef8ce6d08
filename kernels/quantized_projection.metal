// As projection.metal, of a weight in MLX's affine quantisation: BITS each, packed into words from
// the lowest bit on, with a scale and an offset for every GROUP_SIZE of them.
//
//   x                       (rows, inputs), rows <= ROWS, inputs a multiple of GROUP_SIZE
//   norm_weight, norm_bias  (inputs,), read if NORM;  eps (1,), fp32
//   weight                  (outputs, inputs * BITS / 32), uint32
//   scales, offsets         (outputs, inputs / GROUP_SIZE)
//   bias                    (outputs,), read if BIAS
//   residual                (rows, outputs), read if RESIDUAL
//   out                     (rows, outputs)
//
// Inputs may have any strides. All arithmetic is in fp32, the norm is not rounded to T.
// Grid: (32 * GROUPS, outputs / (GROUPS * OUTPUTS) rounded up, 1).
constexpr int PER_WORD = 32 / BITS;
constexpr int WORDS = CHUNK / PER_WORD;

threadgroup float means[GROUPS];
threadgroup float variances[GROUPS];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int rows = x_shape[0];
const int inputs = x_shape[1];
const int outputs = weight_shape[0];
const int first = (threadgroup_position_in_grid.y * GROUPS + group) * OUTPUTS;

float mean[ROWS];
float scale[ROWS];
if (NORM) {
  row_moments<ROWS, GROUPS>(x, rows, inputs, x_strides[0], x_strides[1], eps[0], means, variances,
                            lane, group, mean, scale);
}

float sums[ROWS][OUTPUTS];
for (int row = 0; row < ROWS; ++row) {
  for (int i = 0; i < OUTPUTS; ++i) {
    sums[row][i] = 0.0f;
  }
}
// A chunk lies within one group of the quantisation, and there is none but whole ones.
for (int begin = lane * CHUNK; begin < inputs; begin += 32 * CHUNK) {
  uint words[OUTPUTS][WORDS];
  float factor[OUTPUTS];
  float offset[OUTPUTS];
  for (int i = 0; i < OUTPUTS; ++i) {
    const bool there = first + i < outputs;
    const int64_t output = first + i;
    const int part = begin / GROUP_SIZE;
    factor[i] = there ? float(scales[output * scales_strides[0] + part * scales_strides[1]]) : 0.0f;
    offset[i] =
        there ? float(offsets[output * offsets_strides[0] + part * offsets_strides[1]]) : 0.0f;
    for (int w = 0; w < WORDS; ++w) {
      words[i][w] = there ? weight[output * weight_strides[0] +
                                   (begin / PER_WORD + w) * weight_strides[1]]
                          : 0u;
    }
  }
  for (int row = 0; row < ROWS; ++row) {
    if (row < rows) {
      float total = 0.0f;
      float products[OUTPUTS];
      for (int i = 0; i < OUTPUTS; ++i) {
        products[i] = 0.0f;
      }
      for (int j = 0; j < CHUNK; ++j) {
        const float value = normed_input<NORM>(
            x + row * x_strides[0], begin + j, x_strides[1], mean[row], scale[row], norm_weight,
            norm_weight_strides[0], norm_bias, norm_bias_strides[0]);
        total += value;
        for (int i = 0; i < OUTPUTS; ++i) {
          const uint code =
              (words[i][j / PER_WORD] >> (BITS * (j % PER_WORD))) & ((1u << BITS) - 1u);
          products[i] += value * float(code);
        }
      }
      for (int i = 0; i < OUTPUTS; ++i) {
        sums[row][i] += factor[i] * products[i] + offset[i] * total;
      }
    }
  }
}

for (int row = 0; row < ROWS; ++row) {
  for (int i = 0; i < OUTPUTS; ++i) {
    if (row < rows && first + i < outputs) {  // the same for all lanes
      write_output<T, BIAS, ACTIVATION, RESIDUAL>(
          sums[row][i], first + i, bias_strides[0], bias, residual_strides[1],
          residual + row * residual_strides[0], out + int64_t(row) * outputs, lane);
    }
  }
}
