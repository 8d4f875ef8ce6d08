// First stage of argmax: the best of each part of a row, so that a long row keeps the GPU busy.
//
//   logits           (rows, length), of any strides
//   values, indices  (rows, parts): of part p, the highest of logits[p * PART : (p + 1) * PART]
//                    and the lowest index where it stands
//
// Grid: (32 * GROUPS, parts, rows), one threadgroup for each part of each row.
threadgroup float shared_values[GROUPS];
threadgroup uint shared_indices[GROUPS];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int part = threadgroup_position_in_grid.y;
const int64_t row = threadgroup_position_in_grid.z;
const int parts = threadgroups_per_grid.y;
const int begin = part * PART;
const int end = metal::min(begin + PART, int(logits_shape[1]));

float best = -INFINITY;
uint at = NO_INDEX;
for (int i = begin + int(thread_index_in_threadgroup); i < end; i += 32 * GROUPS) {
  take_better(float(logits[row * logits_strides[0] + i * logits_strides[1]]), i, best, at);
}
best_of_threadgroup<GROUPS>(best, at, shared_values, shared_indices, lane, group);
if (thread_index_in_threadgroup == 0) {
  values[row * parts + part] = best;
  indices[row * parts + part] = at;
}
