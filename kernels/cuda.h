// The prelude under which a kernel's body, written for Metal, is the body of an mx.fast.cuda_kernel.
// One warp plays one SIMD group. What a body must keep to:
//
//   - `threadgroup` declares variables and nothing else; pointers are of deduced types (`auto`);
//   - no attributes, no address spaces but `thread`; scalars come as arrays of one, `eps[0]`;
//   - the grid is a multiple of the threadgroup, whose size is a multiple of 32;
//   - the functions of a SIMD group are called by all of its lanes;
//   - it uses what stands here, and of it what has the same meaning on both sides.
//
// MLX compiles with NVRTC, for which functions are the device's unless they say otherwise, and puts
// it behind headers of its own (mlx/backend/cuda/custom_kernel.cpp). The tests compile with nvcc.
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif
#define METAL_FUNC __device__ inline

typedef unsigned int uint;
typedef unsigned short ushort;

#define threadgroup_position_in_grid (uint3{blockIdx.x, blockIdx.y, blockIdx.z})
#define threadgroups_per_grid (uint3{gridDim.x, gridDim.y, gridDim.z})
#define thread_index_in_threadgroup \
  (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z))
#define thread_index_in_simdgroup (thread_index_in_threadgroup % 32u)
#define simdgroup_index_in_threadgroup (thread_index_in_threadgroup / 32u)

template <class T>
METAL_FUNC T as_type(float x) {
  static_assert(sizeof(T) == sizeof(float) && T(-1) > T(0), "an unsigned word");
  return __float_as_uint(x);
}

enum class mem_flags { mem_none, mem_device, mem_threadgroup };
METAL_FUNC void threadgroup_barrier(mem_flags) { __syncthreads(); }
METAL_FUNC void simdgroup_barrier(mem_flags) { __syncwarp(); }

namespace metal {
METAL_FUNC float exp(float x) { return ::expf(x); }
METAL_FUNC float cos(float x) { return ::cosf(x); }
METAL_FUNC float sin(float x) { return ::sinf(x); }
METAL_FUNC float rsqrt(float x) { return ::rsqrtf(x); }
template <class T>
METAL_FUNC T max(T a, T b) {
  return a < b ? b : a;
}
template <class T>
METAL_FUNC T min(T a, T b) {
  return b < a ? b : a;
}
namespace fast {
METAL_FUNC float exp(float x) { return ::__expf(x); }
}  // namespace fast
}  // namespace metal

#define ALL_LANES 0xffffffffu
template <class T>
METAL_FUNC T simd_sum(T value) {
  for (int step = 16; step; step /= 2) value += __shfl_xor_sync(ALL_LANES, value, step);
  return value;
}
template <class T>
METAL_FUNC T simd_max(T value) {
  for (int step = 16; step; step /= 2) {
    value = metal::max(value, __shfl_xor_sync(ALL_LANES, value, step));
  }
  return value;
}
template <class T>
METAL_FUNC T simd_min(T value) {
  for (int step = 16; step; step /= 2) {
    value = metal::min(value, __shfl_xor_sync(ALL_LANES, value, step));
  }
  return value;
}
template <class T>
METAL_FUNC T simd_prefix_exclusive_sum(T value) {
  T sum = value;
  for (uint step = 1; step < 32; step *= 2) {
    const T before = __shfl_up_sync(ALL_LANES, sum, step);
    sum += thread_index_in_simdgroup >= step ? before : T(0);
  }
  return sum - value;
}

#define thread
#define threadgroup __shared__
