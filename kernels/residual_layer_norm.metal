// The residual connection around a sublayer, and the norm before the next one.
//
//   x, residual, sum, normed  (rows, dims); sum = x + residual, normed is its layer norm
//   weight, bias              (dims,)
//   eps                       (1,), fp32
//
// Inputs may have any strides. The norm is of the sum as it is rounded to T, in fp32, and from the
// mean first and the variance then: one pass for both would lose digits where the mean is large.
// Grid: (32 * GROUPS, rows, 1), one threadgroup for each row.
threadgroup float parts_of_mean[GROUPS];
threadgroup float parts_of_variance[GROUPS];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int thread_index = thread_index_in_threadgroup;
const int64_t row = threadgroup_position_in_grid.y;
const int dims = x_shape[1];
auto own_sum = sum + row * dims;
auto own_normed = normed + row * dims;

float part = 0.0f;
for (int d = thread_index; d < dims; d += 32 * GROUPS) {
  const float added = float(x[row * x_strides[0] + d * x_strides[1]]) +
                      float(residual[row * residual_strides[0] + d * residual_strides[1]]);
  own_sum[d] = T(added);
  part += float(own_sum[d]);
}
const float mean = add_up<GROUPS>(part, parts_of_mean, lane, group) / float(dims);

// Each thread reads back what it has written itself, which needs no barrier.
part = 0.0f;
for (int d = thread_index; d < dims; d += 32 * GROUPS) {
  const float centred = float(own_sum[d]) - mean;
  part += centred * centred;
}
const float variance = add_up<GROUPS>(part, parts_of_variance, lane, group) / float(dims);

const float scale = metal::rsqrt(variance + eps[0]);
for (int d = thread_index; d < dims; d += 32 * GROUPS) {
  const float unit = (float(own_sum[d]) - mean) * scale;
  own_normed[d] = T(unit * float(weight[d * weight_strides[0]]) + float(bias[d * bias_strides[0]]));
}
