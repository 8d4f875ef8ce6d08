// Second stage of top-k: the best k of the parts' best, best first.
//
//   values, indices  (rows, parts, k), as the first stage wrote them, parts * k at most
//                    32 * GROUPS * KEYS
//   scores, places   (rows, k)
//
// Of equal values those of an earlier part come first, and in a part they are in their order.
// Grid: (32 * GROUPS, rows, 1), one threadgroup for each row.
constexpr int PART = 32 * GROUPS * KEYS;

threadgroup uint counts[2 * GROUPS];
threadgroup uint totals[GROUPS];
threadgroup uint64_t best[MAX_K];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int thread_index = thread_index_in_threadgroup;
const int64_t row = threadgroup_position_in_grid.y;
const int k = values_shape[2];
const int candidates = values_shape[1] * k;
auto own_values = values + row * candidates;
auto own_indices = indices + row * candidates;

uint64_t keys[KEYS];
for (int i = 0; i < KEYS; ++i) {
  const int position = i * 32 * GROUPS + thread_index;
  keys[i] = key_of_none<PART>(position);
  if (position < candidates && own_indices[position] != NO_INDEX) {
    keys[i] = key_of<PART>(float(own_values[position]), position);
  }
}
uint64_t key;
uint rank;
rank_best<PART, KEYS, GROUPS>(keys, k, counts, totals, best, lane, group, key, rank);
if (thread_index < k) {
  scores[row * k + rank] = own_values[position_of<PART>(key)];
  places[row * k + rank] = own_indices[position_of<PART>(key)];
}
