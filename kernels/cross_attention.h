// Attention of the tokens of one sentence over its source, one head of it: each key and each value is
// read once for all tokens.
//
//   queries       `tokens` vectors of 32 * ELEMENTS numbers, at most QUERIES of them
//   keys, values  (source_length, 32 * ELEMENTS)
//   mask          (source_length,)
//   out           `tokens` vectors, `out_stride` from one to the next
//   highests, totals, sums: as merge_groups takes them
template <typename T, int QUERIES, int ELEMENTS, int GROUPS, typename Queries, typename Keys,
          typename Mask, typename Shared, typename Out>
METAL_FUNC void attend_to_source(Queries queries, int tokens, int64_t token_stride,
                                 int64_t query_stride, Keys keys, int64_t key_slot_stride,
                                 int64_t key_stride, Keys values, int64_t value_slot_stride,
                                 int64_t value_stride, Mask mask, int64_t mask_stride,
                                 int source_length, Shared highests, Shared totals, Shared sums,
                                 Out out, int64_t out_stride, uint lane, uint group) {
  float query[QUERIES][ELEMENTS];
  float highest[QUERIES];
  float total[QUERIES];
  float sum[QUERIES][ELEMENTS];
  begin_softmax(queries, tokens, token_stride, query_stride, lane, query, highest, total, sum);
  for (int slot = group; slot < source_length; slot += GROUPS) {
    if (!mask[slot * mask_stride]) {  // the same for all lanes
      continue;
    }
    float key[ELEMENTS];
    float value[ELEMENTS];
    load_vector<ELEMENTS>(keys + slot * key_slot_stride, key_stride, lane, key);
    load_vector<ELEMENTS>(values + slot * value_slot_stride, value_stride, lane, value);
    for (int t = 0; t < QUERIES; ++t) {
      if (t < tokens) {
        fold_slot<ELEMENTS>(query[t], key, value, highest[t], total[t], sum[t]);
      }
    }
  }
  for (int t = 0; t < QUERIES; ++t) {
    if (t < tokens) {
      merge_groups<T, ELEMENTS, GROUPS>(highest[t], total[t], sum[t], highests, totals, sums,
                                        out + t * out_stride, lane, group);
    }
  }
}
