// First stage of top-k: the best k of each part of a row, best first.
//
//   logits           (rows, length), of any strides
//   k                (1,), int32, at most MAX_K
//   values, indices  (rows, parts, k): of part p, the highest of logits[p * PART : (p + 1) * PART]
//                    and where they stand in the row; NO_INDEX where the part is shorter than k
//
// Grid: (32 * GROUPS, parts, rows), one threadgroup for each part of each row.
constexpr int PART = 32 * GROUPS * KEYS;

threadgroup uint counts[2 * GROUPS];
threadgroup uint totals[GROUPS];
threadgroup uint64_t best[MAX_K];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int thread_index = thread_index_in_threadgroup;
const int64_t row = threadgroup_position_in_grid.z;
const int64_t part = row * threadgroups_per_grid.y + threadgroup_position_in_grid.y;
const int begin = threadgroup_position_in_grid.y * PART;
const int length = logits_shape[1];
auto own_logits = logits + row * logits_strides[0];

uint64_t keys[KEYS];
for (int i = 0; i < KEYS; ++i) {
  const int position = i * 32 * GROUPS + thread_index;
  keys[i] = key_of_none<PART>(position);
  if (begin + position < length) {
    keys[i] = key_of<PART>(float(own_logits[(begin + position) * logits_strides[1]]), position);
  }
}
uint64_t key;
uint rank;
rank_best<PART, KEYS, GROUPS>(keys, k[0], counts, totals, best, lane, group, key, rank);
if (thread_index < k[0]) {
  const int64_t index = begin + position_of<PART>(key);
  const bool none = is_none<PART>(key);
  values[part * k[0] + rank] = none ? T(-INFINITY) : own_logits[index * logits_strides[1]];
  indices[part * k[0] + rank] = none ? NO_INDEX : uint(index);
}
