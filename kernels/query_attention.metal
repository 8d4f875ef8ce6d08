// Attention of a decoder's tokens over the encoded source, from the layer norm on: a threadgroup
// projects the queries of its head, and attends with them at once.
//
//   x                       (batch, tokens, inputs), tokens <= QUERIES
//   norm_weight, norm_bias  (inputs,), read if NORM;  eps (1,), fp32
//   weight, scales, offsets (num_heads * HEAD_DIM, inputs) and what else products.h says of it
//   bias                    (num_heads * HEAD_DIM,), read if BIAS
//   keys, values            (batch, num_heads, source_length, HEAD_DIM)
//   mask                    (batch, 1, 1, source_length), true where there is a token and no padding
//   out                     (batch, tokens, num_heads, HEAD_DIM), row by row
//
// Inputs may have any strides; those of a mask that masks nothing are 0. All arithmetic is in fp32,
// and neither norm nor queries are rounded to T.
// Grid: (32 * GROUPS, num_heads, batch), one threadgroup for each head of each sentence.
constexpr int ELEMENTS = HEAD_DIM / 32;

threadgroup float means[GROUPS];
threadgroup float variances[GROUPS];
threadgroup float queries[QUERIES * HEAD_DIM];
threadgroup float highests[GROUPS];
threadgroup float totals[GROUPS];
threadgroup float sums[GROUPS * HEAD_DIM];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int64_t head = threadgroup_position_in_grid.y;
const int64_t sentence = threadgroup_position_in_grid.z;
const int heads = keys_shape[1];
const int tokens = x_shape[1];
const int inputs = x_shape[2];
const auto own_x = x + sentence * x_strides[0];

float mean[QUERIES];
float scale[QUERIES];
if (NORM) {
  row_moments<QUERIES, GROUPS>(own_x, tokens, inputs, x_strides[1], x_strides[2], eps[0], means,
                               variances, lane, group, mean, scale);
}
for (int begin = group * OUTPUTS; begin < HEAD_DIM; begin += GROUPS * OUTPUTS) {
  const int first = head * HEAD_DIM + begin;
  float products[QUERIES][OUTPUTS];
  projection_products<NORM, BITS, GROUP_SIZE, CHUNK>(
      own_x, tokens, inputs, x_strides[1], x_strides[2], norm_weight, norm_weight_strides[0],
      norm_bias, norm_bias_strides[0], mean, scale, weight, weight_strides[0], weight_strides[1],
      scales, scales_strides[0], scales_strides[1], offsets, offsets_strides[0],
      offsets_strides[1], first, heads * HEAD_DIM, lane, products);
  for (int t = 0; t < QUERIES; ++t) {
    for (int i = 0; i < OUTPUTS; ++i) {
      if (t < tokens) {  // the same for all lanes
        const float sum = simd_sum(products[t][i]);
        if (lane == 0) {
          queries[t * HEAD_DIM + begin + i] =
              BIAS ? sum + float(bias[(first + i) * bias_strides[0]]) : sum;
        }
      }
    }
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);

attend_to_source<T, QUERIES, ELEMENTS, GROUPS>(
    queries, tokens, HEAD_DIM, 1,
    keys + sentence * keys_strides[0] + head * keys_strides[1], keys_strides[2], keys_strides[3],
    values + sentence * values_strides[0] + head * values_strides[1], values_strides[2],
    values_strides[3], mask + sentence * mask_strides[0], mask_strides[3], keys_shape[2], highests,
    totals, sums, out + (sentence * tokens * heads + head) * HEAD_DIM, heads * HEAD_DIM, lane,
    group);
