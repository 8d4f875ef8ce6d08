// Sums over a threadgroup.

// Add up a number of every thread. `shared` is threadgroup memory for one number of each of the
// GROUPS SIMD groups, which nobody else may use before the next barrier.
template <int GROUPS, typename Shared>
METAL_FUNC float add_up(float value, Shared shared, uint lane, uint group) {
  value = simd_sum(value);
  if (lane == 0) {
    shared[group] = value;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  float sum = 0.0f;
  for (int other = 0; other < GROUPS; ++other) {
    sum += shared[other];
  }
  return sum;
}
