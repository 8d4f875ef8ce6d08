// What the attention kernels share. A threadgroup serves one head of one sentence: its SIMD groups
// take the slots in turn, and a lane holds ELEMENTS numbers of every vector, the one at its own
// index and each 32nd from there. All arithmetic is in fp32.
//
// Pointers are of deduced types, since Metal's have an address space and CUDA's have none.

// Read this lane's numbers of one vector.
template <int ELEMENTS, typename Vector>
METAL_FUNC void load_vector(Vector from, int64_t stride, uint lane, thread float* into) {
  for (int i = 0; i < ELEMENTS; ++i) {
    into[i] = float(from[int64_t(lane + 32 * i) * stride]);
  }
}

// Start the softmax of every query, which is scaled by 1 / sqrt(HEAD_DIM).
template <int QUERIES, int ELEMENTS, typename Vectors>
METAL_FUNC void begin_softmax(Vectors queries, int tokens, int64_t token_stride, int64_t stride,
                              uint lane, thread float (&query)[QUERIES][ELEMENTS],
                              thread float (&highest)[QUERIES], thread float (&total)[QUERIES],
                              thread float (&sum)[QUERIES][ELEMENTS]) {
  const float scale = metal::rsqrt(float(32 * ELEMENTS));
  for (int t = 0; t < QUERIES; ++t) {
    highest[t] = -INFINITY;
    total[t] = 0.0f;
    for (int i = 0; i < ELEMENTS; ++i) {
      query[t][i] = 0.0f;
      sum[t][i] = 0.0f;
    }
    if (t < tokens) {
      load_vector<ELEMENTS>(queries + t * token_stride, stride, lane, query[t]);
    }
    for (int i = 0; i < ELEMENTS; ++i) {
      query[t][i] *= scale;
    }
  }
}

// Fold one slot into the softmax of a query: `sum` is that of the values so far, each weighted by
// exp(score - highest), and `total` that of the weights (Milakov and Gimelshein, "Online normalizer
// calculation for softmax", 2018).
template <int ELEMENTS>
METAL_FUNC void fold_slot(thread const float* query, thread const float* key,
                          thread const float* value, thread float& highest, thread float& total,
                          thread float* sum) {
  float score = 0.0f;
  for (int i = 0; i < ELEMENTS; ++i) {
    score += query[i] * key[i];
  }
  score = simd_sum(score);
  const float higher = metal::max(highest, score);
  const float kept = metal::fast::exp(highest - higher);
  const float weight = metal::fast::exp(score - higher);
  for (int i = 0; i < ELEMENTS; ++i) {
    sum[i] = sum[i] * kept + weight * value[i];
  }
  total = total * kept + weight;
  highest = higher;
}

// Put together what the SIMD groups have found for one query, and write it.
//   highests, totals: GROUPS numbers of threadgroup memory each; sums: GROUPS * 32 * ELEMENTS
template <typename T, int ELEMENTS, int GROUPS, typename Shared, typename Out>
METAL_FUNC void merge_groups(float highest, float total, thread const float* sum, Shared highests,
                             Shared totals, Shared sums, Out out, uint lane, uint group) {
  constexpr int HEAD_DIM = 32 * ELEMENTS;
  if (lane == 0) {
    highests[group] = highest;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  float top = highests[0];
  for (int other = 1; other < GROUPS; ++other) {
    top = metal::max(top, highests[other]);
  }
  const float share = metal::fast::exp(highest - top);  // 0 for a group that saw no slot
  for (int i = 0; i < ELEMENTS; ++i) {
    sums[group * HEAD_DIM + lane + 32 * i] = sum[i] * share;
  }
  if (lane == 0) {
    totals[group] = total * share;
  }
  // Nobody writes `highests` for the next query before all have come here, nor `sums` before all
  // have come to its first barrier.
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (int d = group * 32 + lane; d < HEAD_DIM; d += GROUPS * 32) {
    float numerator = 0.0f;
    float denominator = 0.0f;
    for (int other = 0; other < GROUPS; ++other) {
      numerator += sums[other * HEAD_DIM + d];
      denominator += totals[other];
    }
    out[d] = T(numerator / denominator);
  }
}
