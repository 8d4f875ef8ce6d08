// Barriers and SIMD-group functions. Each passes the line it is called from to the executor, which
// finds out that way whether all threads came to the same one.
#pragma once
#include "../../runtime/executor.h"
#include "math.h"

namespace metal {

enum class mem_flags : uint32_t { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
inline mem_flags operator|(mem_flags a, mem_flags b) {
  return mem_flags(uint32_t(a) | uint32_t(b));
}

inline void threadgroup_barrier(mem_flags flags, int line = __builtin_LINE()) {
  emu::meet_threadgroup(flags != mem_flags::mem_none, line);
}
inline void simdgroup_barrier(mem_flags flags, int line = __builtin_LINE()) {
  emu::meet_simdgroup(flags == mem_flags::mem_none ? emu::kCollective : emu::kSimdBarrier, line);
}

namespace detail {

constexpr unsigned kLanes = emu::kSimdWidth;

// What the lanes deposited, and where each lane's result goes.
template <class T>
struct Lanes {
  T& operator[](unsigned i) const { return *static_cast<T*>(emu::result(i)); }
  bool present(unsigned i) const { return i < kLanes && (emu::lanes_present() >> i & 1u); }
};

// Every lane deposits `value` and waits; `compute` then turns the deposits into the results.
template <class T, class Compute>
inline T collective(T value, int line, Compute compute) {
  static_assert(sizeof(T) <= emu::kExchangeBytes && std::is_trivially_copyable<T>::value,
                "a lane cannot hand this over");
  emu::hide_from_tsan(true);
  std::memcpy(emu::deposit(emu::lane()), &value, sizeof value);
  emu::meet_simdgroup(emu::kCollective, line);
  if (emu::first_to_go_on()) compute(Lanes<T>());
  std::memcpy(&value, emu::result(emu::lane()), sizeof value);
  emu::hide_from_tsan(false);
  return value;
}

// In pairs, like the hardware, rather than from the first lane to the last.
template <class T, class Combine>
inline T reduce(T value, int line, T neutral, Combine combine) {
  static_assert(sizeof(T) <= 4, "Metal reduces types of at most 32 bits");
  return collective(value, line, [&](Lanes<T> lanes) {
    T tree[kLanes];
    for (unsigned i = 0; i < kLanes; ++i) tree[i] = lanes.present(i) ? lanes[i] : neutral;
    for (unsigned step = kLanes / 2; step; step /= 2) {
      for (unsigned i = 0; i < step; ++i) tree[i] = combine(tree[i], tree[i + step]);
    }
    for (unsigned i = 0; i < kLanes; ++i) lanes[i] = tree[0];
  });
}

// Lane i takes what lane source(i) deposited: all bits set (NaN) where that lane does not take
// part, its own where it lies beyond the group.
template <class T, class Source>
inline T permute(T value, int line, Source source) {
  return collective(value, line, [&](Lanes<T> lanes) {
    T taken[kLanes];
    std::memset(static_cast<void*>(taken), 0xff, sizeof taken);
    for (unsigned i = 0; i < kLanes; ++i) {
      const unsigned from = source(i);
      if (lanes.present(from)) taken[i] = lanes[from];
      if (from >= kLanes && lanes.present(i)) taken[i] = lanes[i];
    }
    for (unsigned i = 0; i < kLanes; ++i) lanes[i] = taken[i];
  });
}

template <class T, class Scan>
inline T scan(T value, int line, Scan place) {
  return collective(value, line, [&](Lanes<T> lanes) {
    T sum = T(0);
    for (unsigned i = 0; i < kLanes; ++i) {
      if (!lanes.present(i)) continue;
      const T before = sum;
      sum = T(sum + lanes[i]);
      lanes[i] = place(before, sum);
    }
  });
}

template <class T>
T highest() {
  if constexpr (is_float<T>) return T(std::numeric_limits<float>::infinity());
  return numeric_limits<T>::max();
}
template <class T>
T lowest() {
  if constexpr (is_float<T>) return T(-std::numeric_limits<float>::infinity());
  return numeric_limits<T>::lowest();
}

}  // namespace detail

#define EMU_LINE int line = __builtin_LINE()
template <class T>
inline T simd_sum(T value, EMU_LINE) {
  return detail::reduce(value, line, T(0), [](T a, T b) { return T(a + b); });
}
template <class T>
inline T simd_product(T value, EMU_LINE) {
  return detail::reduce(value, line, T(1), [](T a, T b) { return T(a * b); });
}
template <class T>
inline T simd_max(T value, EMU_LINE) {
  return detail::reduce(value, line, detail::lowest<T>(), [](T a, T b) { return max(a, b); });
}
template <class T>
inline T simd_min(T value, EMU_LINE) {
  return detail::reduce(value, line, detail::highest<T>(), [](T a, T b) { return min(a, b); });
}
inline bool simd_any(bool value, EMU_LINE) {
  return detail::reduce(int(value), line, 0, [](int a, int b) { return a | b; });
}
inline bool simd_all(bool value, EMU_LINE) {
  return detail::reduce(int(value), line, 1, [](int a, int b) { return a & b; });
}
template <class T>
inline T simd_prefix_inclusive_sum(T value, EMU_LINE) {
  return detail::scan(value, line, [](T, T with) { return with; });
}
template <class T>
inline T simd_prefix_exclusive_sum(T value, EMU_LINE) {
  return detail::scan(value, line, [](T before, T) { return before; });
}
template <class T>
inline T simd_broadcast(T value, ushort from, EMU_LINE) {
  return detail::permute(value, line, [=](unsigned) { return unsigned(from); });
}
template <class T>
inline T simd_broadcast_first(T value, EMU_LINE) {
  return detail::permute(value, line,
                         [](unsigned) { return unsigned(__builtin_ctz(emu::lanes_present())); });
}
template <class T>
inline T simd_shuffle_xor(T value, ushort mask, EMU_LINE) {
  return detail::permute(value, line, [=](unsigned i) { return i ^ mask; });
}
template <class T>
inline T simd_shuffle_down(T value, ushort delta, EMU_LINE) {
  return detail::permute(value, line, [=](unsigned i) { return i + delta; });
}
template <class T>
inline T simd_shuffle_up(T value, ushort delta, EMU_LINE) {
  return detail::permute(value, line, [=](unsigned i) { return i - delta; });
}
template <class T>
inline T simd_shuffle(T value, ushort from, EMU_LINE) {  // each lane names its own source
  struct Request {
    T value;
    unsigned from;
  };
  const Request mine = {value, from};
  return detail::collective(mine, line,
                            [](detail::Lanes<Request> lanes) {
                              Request taken[detail::kLanes];
                              std::memset(static_cast<void*>(taken), 0xff, sizeof taken);
                              for (unsigned i = 0; i < detail::kLanes; ++i) {
                                if (lanes.present(i) && lanes.present(lanes[i].from))
                                  taken[i] = lanes[lanes[i].from];
                              }
                              for (unsigned i = 0; i < detail::kLanes; ++i) lanes[i] = taken[i];
                            })
      .value;
}
#undef EMU_LINE

}  // namespace metal
