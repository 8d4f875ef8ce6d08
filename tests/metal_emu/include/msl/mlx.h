// What MLX puts before every custom kernel (mlx/backend/metal/kernels/utils.h), and where
// threadgroup variables come from.
#pragma once
#include "../../runtime/executor.h"
#include "floats.h"

namespace metal {

typedef half float16_t;
typedef bfloat bfloat16_t;

template <class T, class U>
inline T ceildiv(T n, U m) {
  return (n + m - 1) / m;
}

template <class Index = int64_t>
inline Index elem_to_loc(uint element, const int* shape, const int64_t* strides, int ndim) {
  Index rest = element, place = 0;
  for (int axis = ndim - 1; axis >= 0 && rest > 0; --axis) {
    place += (rest % shape[axis]) * Index(strides[axis]);
    rest /= shape[axis];
  }
  return place;
}

}  // namespace metal

namespace emu {
template <class T>
inline T& threadgroup_variable(unsigned variable) {
  return *static_cast<T*>(threadgroup_memory(variable, sizeof(T), alignof(T)));
}
}  // namespace emu
