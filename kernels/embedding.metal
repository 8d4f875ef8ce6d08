// The rows of a table that belong to some tokens, scaled, and the positions of these.
//
//   ids                     (tokens,)
//   weight, scales, offsets (vocabulary, dims) where BITS is 0, and else as quantized.h says
//   positions               (tokens, dims), of a dtype of its own; a token BLANK has none
//   scale                   (1,), fp32
//   out                     (tokens, dims)
//
// Inputs may have any strides. The sum is in fp32.
// Grid: (32 * GROUPS, tokens, 1), one threadgroup for each token.
const int64_t token = threadgroup_position_in_grid.y;
const int dims = positions_shape[1];
const int64_t id = ids[token * ids_strides[0]];
const auto words = weight + id * weight_strides[0];
const auto own_scales = scales + id * scales_strides[0];
const auto own_offsets = offsets + id * offsets_strides[0];

for (int d = thread_index_in_threadgroup; d < dims; d += 32 * GROUPS) {
  const float number = Stored<BITS, GROUP_SIZE>::number(words, weight_strides[1], own_scales,
                                                        scales_strides[1], own_offsets,
                                                        offsets_strides[1], d);
  const float position =
      id == BLANK ? 0.0f : float(positions[token * positions_strides[0] + d * positions_strides[1]]);
  out[token * dims + d] = T(number * scale[0] + position);
}
