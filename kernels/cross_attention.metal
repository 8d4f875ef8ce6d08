// Attention of a decoder's tokens over the encoded source. The tokens of a sentence, which may be its
// beams, share the source's keys and values, and each of those is read once for all of them.
//
//   queries       (batch, num_heads, tokens, HEAD_DIM), tokens <= QUERIES
//   keys, values  (batch, num_heads, source_length, HEAD_DIM)
//   mask          (batch, 1, 1, source_length), true where there is a token and no padding
//   out           (batch, tokens, num_heads, HEAD_DIM), row by row
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

attend_to_source<T, QUERIES, ELEMENTS, GROUPS>(
    queries + sentence * queries_strides[0] + head * queries_strides[1], tokens, queries_strides[2],
    queries_strides[3],
    keys + sentence * keys_strides[0] + head * keys_strides[1], keys_strides[2], keys_strides[3],
    values + sentence * values_strides[0] + head * values_strides[1], values_strides[2],
    values_strides[3], mask + sentence * mask_strides[0], mask_strides[3], keys_shape[2], highests,
    totals, sums, out + (sentence * tokens * heads + head) * HEAD_DIM, heads * HEAD_DIM, lane,
    group);
