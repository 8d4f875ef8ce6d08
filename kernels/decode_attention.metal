// Attention of a decoder's newest tokens: to the slots of the cache, which is read where it lies,
// and to one another. All that was read is written behind each other, as the cache after them.
//
//   queries          (batch, num_heads, tokens, HEAD_DIM), tokens <= QUERIES
//   keys_values      (2, batch, num_heads, length, HEAD_DIM)
//   new_keys_values  (2, batch, num_heads, tokens, HEAD_DIM)
//   mask             (batch, 1, tokens, length + tokens), read if MASKED
//   out              (batch, tokens, num_heads, HEAD_DIM), row by row
//   extended         (2, batch, num_heads, length + tokens, HEAD_DIM)
//
// Inputs may have any strides. Without a mask a token sees the cache, itself and those before it.
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
const int length = keys_values_shape[3];
const int slots = length + tokens;

float query[QUERIES][ELEMENTS];
float highest[QUERIES];
float total[QUERIES];
float sum[QUERIES][ELEMENTS];
begin_softmax(queries + sentence * queries_strides[0] + head * queries_strides[1], tokens,
      queries_strides[2], queries_strides[3], lane, query, highest, total, sum);

const auto old_keys =
    keys_values + sentence * keys_values_strides[1] + head * keys_values_strides[2];
const auto new_keys =
    new_keys_values + sentence * new_keys_values_strides[1] + head * new_keys_values_strides[2];
auto all_keys = extended + (sentence * heads + head) * slots * HEAD_DIM;
const int64_t size = int64_t(queries_shape[0]) * heads * slots * HEAD_DIM;

for (int slot = group; slot < slots; slot += GROUPS) {
  float key[ELEMENTS];
  float value[ELEMENTS];
  const int fresh = slot - length;  // the index of the new token, where it is one
  if (fresh < 0) {
    const auto from = old_keys + slot * keys_values_strides[3];
    load_vector<ELEMENTS>(from, keys_values_strides[4], lane, key);
    load_vector<ELEMENTS>(from + keys_values_strides[0], keys_values_strides[4], lane, value);
  } else {
    const auto from = new_keys + fresh * new_keys_values_strides[3];
    load_vector<ELEMENTS>(from, new_keys_values_strides[4], lane, key);
    load_vector<ELEMENTS>(from + new_keys_values_strides[0], new_keys_values_strides[4], lane, value);
  }
  for (int i = 0; i < ELEMENTS; ++i) {
    const int64_t at = int64_t(slot) * HEAD_DIM + lane + 32 * i;
    all_keys[at] = T(key[i]);
    all_keys[size + at] = T(value[i]);
  }
  for (int t = 0; t < QUERIES; ++t) {
    const bool seen =
        t < tokens && (MASKED ? mask[sentence * mask_strides[0] + t * mask_strides[2] +
                                     slot * mask_strides[3]]
                              : fresh <= t);
    if (seen) {  // the same for all lanes
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
