// Attention of a decoder's newest tokens: to the slots of the cache, which is read where it lies,
// and to one another.
//
//   queries, new_keys, new_values  (batch, num_heads, tokens, HEAD_DIM), tokens <= QUERIES
//   keys, values                   (batch, num_heads, length, HEAD_DIM)
//   mask                           (batch, 1, tokens, length + tokens), read if MASKED
//   out                            (batch, tokens, num_heads, HEAD_DIM), row by row
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
const int length = keys_shape[2];

float query[QUERIES][ELEMENTS];
float highest[QUERIES];
float total[QUERIES];
float sum[QUERIES][ELEMENTS];
begin_softmax(queries + sentence * queries_strides[0] + head * queries_strides[1], tokens,
      queries_strides[2], queries_strides[3], lane, query, highest, total, sum);

const auto cached_keys = keys + sentence * keys_strides[0] + head * keys_strides[1];
const auto cached_values = values + sentence * values_strides[0] + head * values_strides[1];
const auto own_keys = new_keys + sentence * new_keys_strides[0] + head * new_keys_strides[1];
const auto own_values =
    new_values + sentence * new_values_strides[0] + head * new_values_strides[1];

for (int slot = group; slot < length + tokens; slot += GROUPS) {
  float key[ELEMENTS];
  float value[ELEMENTS];
  const int fresh = slot - length;  // the index of the new token, where it is one
  if (fresh < 0) {
    load_vector<ELEMENTS>(cached_keys + slot * keys_strides[2], keys_strides[3], lane, key);
    load_vector<ELEMENTS>(cached_values + slot * values_strides[2], values_strides[3], lane, value);
  } else {
    load_vector<ELEMENTS>(own_keys + fresh * new_keys_strides[2], new_keys_strides[3], lane, key);
    load_vector<ELEMENTS>(own_values + fresh * new_values_strides[2], new_values_strides[3], lane, value);
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
