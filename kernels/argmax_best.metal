// Second stage of argmax: the best of the parts' best.
//
//   values, indices  (rows, parts), as the first stage wrote them
//   out              (rows,)
//
// Grid: (32 * GROUPS, rows, 1), one threadgroup for each row.
threadgroup float shared_values[GROUPS];
threadgroup uint shared_indices[GROUPS];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int64_t row = threadgroup_position_in_grid.y;
const int parts = values_shape[1];

float best = -INFINITY;
uint at = NO_INDEX;
for (int part = thread_index_in_threadgroup; part < parts; part += 32 * GROUPS) {
  take_better(values[row * parts + part], indices[row * parts + part], best, at);
}
best_of_threadgroup<GROUPS>(best, at, shared_values, shared_indices, lane, group);
if (thread_index_in_threadgroup == 0) {
  out[row] = at == NO_INDEX ? 0 : at;  // no index stands where all logits are NaN
}
