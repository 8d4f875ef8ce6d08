// Atomics of 32 bits, relaxed: they order nothing, as in Metal.
#pragma once
#include "floats.h"

namespace metal {

enum memory_order { memory_order_relaxed };

template <class T>
struct atomic {
  T value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<float> atomic_float;

namespace detail {
template <class T, class Update>
inline T exchange(atomic<T>* object, Update update) {
  static_assert(sizeof(T) == 4, "32-bit atomics only");
  uint32_t* bits = reinterpret_cast<uint32_t*>(&object->value);
  uint32_t old = __atomic_load_n(bits, __ATOMIC_RELAXED), wanted;
  do {
    wanted = as_type<uint32_t>(T(update(as_type<T>(old))));
  } while (
      !__atomic_compare_exchange_n(bits, &old, wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return as_type<T>(old);
}
}  // namespace detail

template <class T>
inline T atomic_fetch_add_explicit(atomic<T>* object, T x, memory_order) {
  return detail::exchange(object, [=](T old) { return old + x; });
}
template <class T>
inline T atomic_fetch_max_explicit(atomic<T>* object, T x, memory_order) {
  return detail::exchange(object, [=](T old) { return old < x ? x : old; });
}
template <class T>
inline T atomic_fetch_min_explicit(atomic<T>* object, T x, memory_order) {
  return detail::exchange(object, [=](T old) { return x < old ? x : old; });
}
template <class T>
inline void atomic_store_explicit(atomic<T>* object, T x, memory_order) {
  detail::exchange(object, [=](T) { return x; });
}
template <class T>
inline T atomic_load_explicit(const atomic<T>* object, memory_order) {
  return detail::exchange(const_cast<atomic<T>*>(object), [](T old) { return old; });
}

}  // namespace metal
