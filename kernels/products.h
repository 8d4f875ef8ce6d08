// A lane's share of the products of all rows with OUTPUTS rows of a weight, from row `first` on; rows
// beyond the last count as zeros. To be added up over the SIMD group.
//
// `projection_products<NORM, BITS, GROUP_SIZE, CHUNK>` takes a weight (outputs, inputs) where BITS is
// 0, and reads no scales and offsets. Otherwise it is in MLX's affine quantisation: BITS each, packed
// into words from the lowest bit on, with a scale and an offset for every GROUP_SIZE of them.
template <int BITS, int GROUP_SIZE>
struct Products {
  // A chunk lies within one group of the quantisation, and there is none but whole ones.
  template <bool NORM, int CHUNK, int ROWS, int OUTPUTS, typename Rows, typename Weight,
            typename Scales>
  static METAL_FUNC void add_chunk(thread const Rows& rows, int begin, Weight weight,
                                   int64_t row_stride, int64_t stride, Scales scales,
                                   int64_t scale_row_stride, int64_t scale_stride, Scales offsets,
                                   int64_t offset_row_stride, int64_t offset_stride, int first,
                                   int outputs, thread float (&sums)[ROWS][OUTPUTS]) {
    constexpr int PER_WORD = 32 / BITS;
    constexpr int WORDS = CHUNK / PER_WORD;
    uint words[OUTPUTS][WORDS];
    float factor[OUTPUTS];
    float offset[OUTPUTS];
    for (int i = 0; i < OUTPUTS; ++i) {
      const bool there = first + i < outputs;
      const int64_t output = first + i;
      const int part = begin / GROUP_SIZE;
      factor[i] =
          there ? float(scales[output * scale_row_stride + part * scale_stride]) : 0.0f;
      offset[i] =
          there ? float(offsets[output * offset_row_stride + part * offset_stride]) : 0.0f;
      for (int w = 0; w < WORDS; ++w) {
        words[i][w] = there ? weight[output * row_stride + (begin / PER_WORD + w) * stride] : 0u;
      }
    }
    for (int row = 0; row < ROWS; ++row) {
      if (row < rows.count) {
        float total = 0.0f;
        float products[OUTPUTS];
        for (int i = 0; i < OUTPUTS; ++i) {
          products[i] = 0.0f;
        }
        for (int j = 0; j < CHUNK; ++j) {
          const float value = normed_input<NORM>(rows, row, begin + j);
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
};

template <int GROUP_SIZE>
struct Products<0, GROUP_SIZE> {
  template <bool NORM, int CHUNK, int ROWS, int OUTPUTS, typename Rows, typename Weight,
            typename Scales>
  static METAL_FUNC void add_chunk(thread const Rows& rows, int begin, Weight weight,
                                   int64_t row_stride, int64_t stride, Scales, int64_t, int64_t,
                                   Scales, int64_t, int64_t, int first, int outputs,
                                   thread float (&sums)[ROWS][OUTPUTS]) {
    const int count = metal::min(CHUNK, rows.inputs - begin);
    float weights[OUTPUTS][CHUNK];
    for (int i = 0; i < OUTPUTS; ++i) {
      for (int j = 0; j < CHUNK; ++j) {
        weights[i][j] = first + i < outputs && j < count
                            ? float(weight[(first + i) * row_stride + (begin + j) * stride])
                            : 0.0f;
      }
    }
    for (int row = 0; row < ROWS; ++row) {
      if (row < rows.count) {
        for (int j = 0; j < CHUNK; ++j) {
          if (j < count) {
            const float value = normed_input<NORM>(rows, row, begin + j);
            for (int i = 0; i < OUTPUTS; ++i) {
              sums[row][i] += value * weights[i][j];
            }
          }
        }
      }
    }
  }
};

template <bool NORM, int BITS, int GROUP_SIZE, int CHUNK, int ROWS, int OUTPUTS, typename X,
          typename NormWeight, typename NormBias, typename Weight, typename Scales>
METAL_FUNC void projection_products(
    X x, int count, int inputs, int64_t x_row_stride, int64_t x_stride, NormWeight norm_weight,
    int64_t norm_weight_stride, NormBias norm_bias, int64_t norm_bias_stride,
    thread const float (&mean)[ROWS], thread const float (&scale)[ROWS], Weight weight,
    int64_t row_stride, int64_t stride, Scales scales, int64_t scale_row_stride,
    int64_t scale_stride, Scales offsets, int64_t offset_row_stride, int64_t offset_stride,
    int first, int outputs, uint lane, thread float (&sums)[ROWS][OUTPUTS]) {
  const InputRows<X, NormWeight, NormBias> rows = {
      x,         count,            inputs, x_row_stride, x_stride, norm_weight, norm_weight_stride,
      norm_bias, norm_bias_stride, mean,   scale};
  for (int row = 0; row < ROWS; ++row) {
    for (int i = 0; i < OUTPUTS; ++i) {
      sums[row][i] = 0.0f;
    }
  }
  for (int begin = lane * CHUNK; begin < inputs; begin += 32 * CHUNK) {
    Products<BITS, GROUP_SIZE>::template add_chunk<NORM, CHUNK>(
        rows, begin, weight, row_stride, stride, scales, scale_row_stride, scale_stride, offsets,
        offset_row_stride, offset_stride, first, outputs, sums);
  }
}
