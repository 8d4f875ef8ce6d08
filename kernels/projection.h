// What the projections share: rows of x times rows of a weight. A SIMD group finds OUTPUTS numbers
// of every row; its lanes take the chunks of CHUNK inputs in turn, so that each weight is read once.

// The mean and the inverse standard deviation of each row, for all threads of the threadgroup.
//   means, variances: GROUPS numbers of threadgroup memory each
template <int ROWS, int GROUPS, typename X, typename Shared>
METAL_FUNC void row_moments(X x, int rows, int dims, int64_t row_stride, int64_t stride, float eps,
                            Shared means, Shared variances, uint lane, uint group,
                            thread float (&mean)[ROWS], thread float (&scale)[ROWS]) {
  for (int row = 0; row < ROWS; ++row) {
    mean[row] = 0.0f;
    scale[row] = 1.0f;
    if (row < rows) {
      const auto own = x + row * row_stride;
      float part = 0.0f;
      for (int d = group * 32 + lane; d < dims; d += 32 * GROUPS) {
        part += float(own[d * stride]);
      }
      mean[row] = add_up<GROUPS>(part, means, lane, group) / float(dims);
      part = 0.0f;
      for (int d = group * 32 + lane; d < dims; d += 32 * GROUPS) {
        const float centred = float(own[d * stride]) - mean[row];
        part += centred * centred;
      }
      // Between two uses of one of the arrays lies the barrier of the other's.
      const float variance = add_up<GROUPS>(part, variances, lane, group) / float(dims);
      scale[row] = metal::rsqrt(variance + eps);
    }
  }
}

// The rows, and the layer norm before them where there is one.
template <typename X, typename Weight, typename Bias>
struct InputRows {
  X x;
  int count;
  int inputs;
  int64_t row_stride;
  int64_t stride;
  Weight weight;
  int64_t weight_stride;
  Bias bias;
  int64_t bias_stride;
  thread const float* mean;
  thread const float* scale;
};

// Input k of a row, after the norm.
template <bool NORM, typename Rows>
METAL_FUNC float normed_input(thread const Rows& rows, int row, int k) {
  const float value = float(rows.x[row * rows.row_stride + k * rows.stride]);
  if (!NORM) {
    return value;
  }
  return (value - rows.mean[row]) * rows.scale[row] * float(rows.weight[k * rows.weight_stride]) +
         float(rows.bias[k * rows.bias_stride]);
}

// ACTIVATION is 0 for none, 1 for ReLU, 2 for x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))), which is
// x times the logistic function of twice the argument of the tangent.
template <int ACTIVATION>
METAL_FUNC float activated(float x) {
  if (ACTIVATION == 1) {
    return metal::max(x, 0.0f);
  }
  if (ACTIVATION == 2) {
    return x / (1.0f + metal::exp(-1.5957691216f * (x + 0.044715f * x * x * x)));
  }
  return x;
}

// Add up over the lanes, and let one of them write: bias, activation, residual, in this order.
template <typename T, bool BIAS, int ACTIVATION, bool RESIDUAL, typename Bias, typename Residual,
          typename Out>
METAL_FUNC void write_output(float sum, int output, int64_t bias_stride, Bias bias,
                             int64_t residual_stride, Residual residual, Out out, uint lane) {
  sum = simd_sum(sum);
  if (lane == 0) {
    if (BIAS) {
      sum += float(bias[output * bias_stride]);
    }
    sum = activated<ACTIVATION>(sum);
    if (RESIDUAL) {
      sum += float(residual[output * residual_stride]);
    }
    out[output] = T(sum);
  }
}
