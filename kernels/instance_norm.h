// What the kernels of adaptive instance norm share. A lane is a channel, so that a SIMD group reads
// neighbouring channels of one row in one piece; the SIMD groups share the rows. Statistics are the
// mean first and then the variance about it: E[x²] − E[x]² would lose digits to a large mean.

// Add up, over the SIMD groups, a number of every lane. `shared` is threadgroup memory for one number
// of each thread, which nobody else may use before the next barrier.
template <int GROUPS, typename Shared>
METAL_FUNC float add_up_groups(float value, Shared shared, uint lane, uint group) {
  shared[group * 32 + lane] = value;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  float sum = 0.0f;
  for (int other = 0; other < GROUPS; ++other) {
    sum += shared[other * 32 + lane];
  }
  return sum;
}

// Read this lane's channel of `count` rows, at most GROUPS * ROWS, into the threads of all SIMD
// groups, and find its mean and variance. Lanes beyond the last channel take part, without reading.
//   sums, squares: threadgroup memory for one number of each thread
template <int GROUPS, int ROWS, typename Channel, typename Shared>
METAL_FUNC void moments_of_rows(Channel from, int64_t stride, int count, bool is_channel,
                                Shared sums, Shared squares, uint lane, uint group,
                                thread float (&kept)[ROWS], thread float& mean,
                                thread float& variance) {
  float part = 0.0f;
  for (int i = 0; i < ROWS; ++i) {
    const int row = group + i * GROUPS;
    kept[i] = is_channel && row < count ? float(from[row * stride]) : 0.0f;
    part += kept[i];
  }
  mean = add_up_groups<GROUPS>(part, sums, lane, group) / float(count);
  part = 0.0f;
  for (int i = 0; i < ROWS; ++i) {
    const float centred = kept[i] - mean;
    part += int(group) + i * GROUPS < count ? centred * centred : 0.0f;
  }
  variance = add_up_groups<GROUPS>(part, squares, lane, group) / float(count);
}

// Snake, x + sin²(ax) / a, or a leaky ReLU whose slope below zero is a.
template <bool SNAKE>
METAL_FUNC float activate(float x, float a) {
  if (SNAKE) {
    const float sine = metal::sin(a * x);
    return x + sine * sine / a;
  }
  return x < 0.0f ? a * x : x;
}
