// A linear layer for few rows, with what stands before and after it in a transformer: the layer norm
// of its input, the activation, the residual connection.
//
//   x                       (rows, inputs), rows <= ROWS
//   norm_weight, norm_bias  (inputs,), read if NORM;  eps (1,), fp32
//   weight                  (outputs, inputs)
//   bias                    (outputs,), read if BIAS
//   residual                (rows, outputs), read if RESIDUAL
//   out                     (rows, outputs)
//
// Inputs may have any strides. All arithmetic is in fp32, the norm is not rounded to T.
// Grid: (32 * GROUPS, outputs / (GROUPS * OUTPUTS) rounded up, 1).
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
projection_products<NORM, 0, 0, CHUNK>(
    x, rows, inputs, x_strides[0], x_strides[1], norm_weight, norm_weight_strides[0], norm_bias,
    norm_bias_strides[0], mean, scale, weight, weight_strides[0], weight_strides[1], weight, 0, 0, weight, 0, 0,
    first, outputs, lane, sums);

for (int row = 0; row < ROWS; ++row) {
  for (int i = 0; i < OUTPUTS; ++i) {
    if (row < rows && first + i < outputs) {  // the same for all lanes
      write_output<T, BIAS, ACTIVATION, RESIDUAL>(
          sums[row][i], first + i, bias_strides[0], bias, residual_strides[1],
          residual + row * residual_strides[0], out + int64_t(row) * outputs, lane);
    }
  }
}
