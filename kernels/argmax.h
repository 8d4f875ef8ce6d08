// What both stages of argmax share: an index and the value there, of which the highest value wins,
// and among equals the lowest index. NO_INDEX, the highest of all, goes with -INFINITY.
#define NO_INDEX 0xffffffffu

METAL_FUNC void take_better(float value, uint index, thread float& best, thread uint& at) {
  if (at == NO_INDEX || value > best || (value == best && index < at)) {
    best = value;
    at = index;
  }
}

METAL_FUNC void best_of_simdgroup(thread float& best, thread uint& at) {
  const float highest = simd_max(best);
  at = simd_min(best == highest ? at : NO_INDEX);
  best = highest;
}

// `values` and `indices` are threadgroup memory for one of each SIMD group, of which there are at
// most 32. Only the first SIMD group gets to know the best.
template <int GROUPS, typename Values, typename Indices>
METAL_FUNC void best_of_threadgroup(thread float& best, thread uint& at, Values values,
                                    Indices indices, uint lane, uint group) {
  best_of_simdgroup(best, at);
  if (lane == 0) {
    values[group] = best;
    indices[group] = at;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (group == 0) {
    best = -INFINITY;
    at = NO_INDEX;
    if (lane < uint(GROUPS)) {
      best = values[lane];
      at = indices[lane];
    }
    best_of_simdgroup(best, at);
  }
}
