// All steps of one direction of an LSTM layer.
//
//   inputs   (batch, length, 2 * 4 * HIDDEN), of any strides: the projected inputs with the bias,
//            forward direction first, of each the gates in the order input, forget, output, cell
//   weights  (2, 4 * HIDDEN, HIDDEN), of any strides
//   out      (batch, length, 2 * HIDDEN)
//
// A SIMD group takes the sum of one gate at a time, so that its lanes read a row of the weights in
// one piece. States are fp32 and never leave the threadgroup. Each thread owns the same cells in
// every step.
// Grid: (32 * GROUPS, 2, batch), one threadgroup for each direction of each row of the batch.
threadgroup float hidden[HIDDEN];
threadgroup float cells[HIDDEN];
threadgroup float gates[4 * HIDDEN];

const int lane = thread_index_in_simdgroup;
const int group = simdgroup_index_in_threadgroup;
const int thread_index = thread_index_in_threadgroup;
const int direction = threadgroup_position_in_grid.y;
const int64_t row = threadgroup_position_in_grid.z;
const int64_t length = inputs_shape[1];
auto own_inputs = inputs + row * inputs_strides[0];
auto own_weights = weights + direction * weights_strides[0];

for (int i = thread_index; i < HIDDEN; i += 32 * GROUPS) {
  hidden[i] = 0.0f;
  cells[i] = 0.0f;
}
threadgroup_barrier(mem_flags::mem_threadgroup);

for (int64_t step = 0; step < length; ++step) {
  const int64_t t = direction ? length - 1 - step : step;
  for (int gate = group; gate < 4 * HIDDEN; gate += GROUPS) {
    float sum = 0.0f;
    for (int i = lane; i < HIDDEN; i += 32) {
      sum += float(own_weights[gate * weights_strides[1] + i * weights_strides[2]]) * hidden[i];
    }
    sum = simd_sum(sum);
    if (lane == 0) {
      const int64_t column = direction * 4 * HIDDEN + gate;
      gates[gate] =
          sum + float(own_inputs[t * inputs_strides[1] + column * inputs_strides[2]]);
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (int i = thread_index; i < HIDDEN; i += 32 * GROUPS) {
    const float cell = sigmoid(gates[HIDDEN + i]) * cells[i] +
                       sigmoid(gates[i]) * tanh_of(gates[3 * HIDDEN + i]);
    const float state = sigmoid(gates[2 * HIDDEN + i]) * tanh_of(cell);
    cells[i] = cell;
    hidden[i] = state;
    out[((row * length + t) * 2 + direction) * HIDDEN + i] = T(state);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}
