// First stage of adaptive instance norm where rows are many: the moments of each part of them.
//
//   x                 (batch, length, channels), of any strides
//   means, variances  (batch, parts, channels), fp32: of part p, those of the rows
//                     x[p * PART : (p + 1) * PART], PART = GROUPS * ROWS
//
// Grid: (32 * GROUPS, ceil(channels / 32), batch * parts), a threadgroup for 32 channels of a part.
threadgroup float sums[32 * GROUPS];
threadgroup float squares[32 * GROUPS];

const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const int length = x_shape[1];
const int channels = x_shape[2];
const int parts = (length + GROUPS * ROWS - 1) / (GROUPS * ROWS);
const int64_t block = threadgroup_position_in_grid.z;
const int64_t begin = block % parts * (GROUPS * ROWS);
const int channel = threadgroup_position_in_grid.y * 32 + lane;

float kept[ROWS];
float mean;
float variance;
moments_of_rows<GROUPS, ROWS>(
    x + block / parts * x_strides[0] + begin * x_strides[1] + channel * x_strides[2], x_strides[1],
    metal::min(GROUPS * ROWS, int(length - begin)), channel < channels, sums, squares, lane, group,
    kept, mean, variance);
if (group == 0 && channel < channels) {
  means[block * channels + channel] = mean;
  variances[block * channels + channel] = variance;
}
