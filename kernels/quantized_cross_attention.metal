// As cross_attention.metal, over keys and values in MLX's affine quantisation.
//
//   queries               (batch, num_heads, tokens, HEAD_DIM), tokens <= QUERIES
//   keys, values          (batch, num_heads, source_length, HEAD_DIM * BITS / 32), uint32
//   key_scales … value_offsets  (batch, num_heads, source_length, HEAD_DIM / GROUP_SIZE)
//   mask                  (batch, 1, 1, source_length), true where there is a token and no padding
//   out                   (batch, tokens, num_heads, HEAD_DIM), row by row
//
// Inputs may have any strides; those of a mask that masks nothing are 0.
// Grid: (32 * GROUPS, num_heads, batch), one threadgroup for each head of each sentence.
constexpr int ELEMENTS = HEAD_DIM / 32;

threadgroup float highests[GROUPS];
threadgroup float totals[GROUPS];
threadgroup float sums[GROUPS * HEAD_DIM];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int64_t head = threadgroup_position_in_grid.y;
const int64_t sentence = threadgroup_position_in_grid.z;
const int heads = queries_shape[1];
const int tokens = queries_shape[2];
const int source_length = keys_shape[2];

float query[QUERIES][ELEMENTS];
float highest[QUERIES];
float total[QUERIES];
float sum[QUERIES][ELEMENTS];
begin_softmax(queries + sentence * queries_strides[0] + head * queries_strides[1], tokens,
      queries_strides[2], queries_strides[3], lane, query, highest, total, sum);

const auto own_keys = keys + sentence * keys_strides[0] + head * keys_strides[1];
const auto own_values = values + sentence * values_strides[0] + head * values_strides[1];
const auto own_key_scales =
    key_scales + sentence * key_scales_strides[0] + head * key_scales_strides[1];
const auto own_key_offsets =
    key_offsets + sentence * key_offsets_strides[0] + head * key_offsets_strides[1];
const auto own_value_scales =
    value_scales + sentence * value_scales_strides[0] + head * value_scales_strides[1];
const auto own_value_offsets =
    value_offsets + sentence * value_offsets_strides[0] + head * value_offsets_strides[1];

for (int slot = group; slot < source_length; slot += GROUPS) {
  if (!mask[sentence * mask_strides[0] + slot * mask_strides[3]]) {  // the same for all lanes
    continue;
  }
  float key[ELEMENTS];
  float value[ELEMENTS];
  for (int i = 0; i < ELEMENTS; ++i) {
    const int d = lane + 32 * i;
    key[i] = dequantized<BITS, GROUP_SIZE>(
        own_keys + slot * keys_strides[2], keys_strides[3],
        own_key_scales + slot * key_scales_strides[2], key_scales_strides[3],
        own_key_offsets + slot * key_offsets_strides[2], key_offsets_strides[3], d);
    value[i] = dequantized<BITS, GROUP_SIZE>(
        own_values + slot * values_strides[2], values_strides[3],
        own_value_scales + slot * value_scales_strides[2], value_scales_strides[3],
        own_value_offsets + slot * value_offsets_strides[2], value_offsets_strides[3], d);
  }
  for (int t = 0; t < QUERIES; ++t) {
    if (t < tokens) {
      fold_slot<ELEMENTS>(query[t], key, value, highest[t], total[t], sum[t]);
    }
  }
}

auto own_out = out + (sentence * tokens * heads + head) * HEAD_DIM;
for (int t = 0; t < QUERIES; ++t) {
  if (t < tokens) {
    merge_groups<T, ELEMENTS, GROUPS>(highest[t], total[t], sum[t], highests, totals, sums,
                               own_out + t * heads * HEAD_DIM, lane, group);
  }
}
