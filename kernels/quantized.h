// Number `index` of a vector in MLX's affine quantisation: BITS each, packed into words from the
// lowest bit on, with a scale and an offset for every GROUP_SIZE of them.
template <int BITS, int GROUP_SIZE, typename Words, typename Scales>
METAL_FUNC float dequantized(Words words, int64_t word_stride, Scales scales, int64_t scale_stride,
                             Scales offsets, int64_t offset_stride, int index) {
  constexpr int PER_WORD = 32 / BITS;
  const uint word = words[index / PER_WORD * word_stride];
  const uint code = (word >> (BITS * (index % PER_WORD))) & ((1u << BITS) - 1u);
  const int part = index / GROUP_SIZE;
  return float(scales[part * scale_stride]) * float(code) + float(offsets[part * offset_stride]);
}

// Number `index` of a vector that is in this quantisation, or, where BITS is 0, in none.
template <int BITS, int GROUP_SIZE>
struct Stored {
  template <typename Words, typename Scales>
  static METAL_FUNC float number(Words words, int64_t word_stride, Scales scales,
                                 int64_t scale_stride, Scales offsets, int64_t offset_stride,
                                 int index) {
    return dequantized<BITS, GROUP_SIZE>(words, word_stride, scales, scale_stride, offsets,
                                         offset_stride, index);
  }
};

template <int GROUP_SIZE>
struct Stored<0, GROUP_SIZE> {
  template <typename Numbers>
  static METAL_FUNC float number(Numbers numbers, int64_t stride, Numbers, int64_t, Numbers, int64_t,
                                 int index) {
    return float(numbers[index * stride]);
  }
};
