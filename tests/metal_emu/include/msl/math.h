// Mathematical functions: as in Metal for floating types alone (`exp(1)` is an error), and for
// arguments of one type (`max(x, 0)` is ambiguous there).
#pragma once
#include "vectors.h"

namespace metal {

namespace detail {
template <class T>
using float_only = std::enable_if_t<is_float<T>, T>;
template <class T>
using number = std::enable_if_t<is_float<T> || is_int<T>, T>;
}  // namespace detail

#define EMU_FUNCTION(name, of_x)                       \
  template <class T>                                   \
  inline detail::float_only<T> name(T value) {         \
    const float x = float(value);                      \
    return T(of_x);                                    \
  }                                                    \
  template <class T, int N>                            \
  inline vec<T, N> name(vec<T, N> v) {                 \
    for (int i = 0; i < N; ++i) v.d[i] = name(v.d[i]); \
    return v;                                          \
  }
#define EMU_FUNCTION_OF_TWO(name, of_x_y)       \
  template <class T>                            \
  inline detail::float_only<T> name(T a, T b) { \
    const float x = float(a), y = float(b);     \
    return T(of_x_y);                           \
  }

// Those that exist in metal::, metal::fast:: and metal::precise::. All are accurate here; the real
// fast ones are a few units in the last place off, and defined on a smaller range.
#define EMU_FUNCTIONS                          \
  EMU_FUNCTION(exp, std::exp(x))               \
  EMU_FUNCTION(exp2, std::exp2(x))             \
  EMU_FUNCTION(exp10, std::pow(10.0f, x))      \
  EMU_FUNCTION(log, std::log(x))               \
  EMU_FUNCTION(log2, std::log2(x))             \
  EMU_FUNCTION(log10, std::log10(x))           \
  EMU_FUNCTION(sqrt, std::sqrt(x))             \
  EMU_FUNCTION(rsqrt, 1.0f / std::sqrt(x))     \
  EMU_FUNCTION(sin, std::sin(x))               \
  EMU_FUNCTION(cos, std::cos(x))               \
  EMU_FUNCTION(tan, std::tan(x))               \
  EMU_FUNCTION(sinh, std::sinh(x))             \
  EMU_FUNCTION(cosh, std::cosh(x))             \
  EMU_FUNCTION(tanh, std::tanh(x))             \
  EMU_FUNCTION(asin, std::asin(x))             \
  EMU_FUNCTION(acos, std::acos(x))             \
  EMU_FUNCTION(atan, std::atan(x))             \
  EMU_FUNCTION_OF_TWO(atan2, std::atan2(x, y)) \
  EMU_FUNCTION_OF_TWO(fmod, std::fmod(x, y))   \
  EMU_FUNCTION_OF_TWO(pow, std::pow(x, y))     \
  EMU_FUNCTION_OF_TWO(powr, std::pow(x, y))
EMU_FUNCTIONS
namespace fast {
EMU_FUNCTIONS
}
namespace precise {
EMU_FUNCTIONS
}
EMU_FUNCTION(fabs, std::fabs(x))
EMU_FUNCTION(floor, std::floor(x))
EMU_FUNCTION(ceil, std::ceil(x))
EMU_FUNCTION(trunc, std::trunc(x))
EMU_FUNCTION(round, std::round(x))
EMU_FUNCTION(rint, std::rint(x))
EMU_FUNCTION(fract, x - std::floor(x))
EMU_FUNCTION(saturate, std::fmin(std::fmax(x, 0.0f), 1.0f))
EMU_FUNCTION(sign, float((x > 0) - (x < 0)))
EMU_FUNCTION_OF_TWO(fmax, std::fmax(x, y))
EMU_FUNCTION_OF_TWO(fmin, std::fmin(x, y))
EMU_FUNCTION_OF_TWO(step, y < x ? 0.0f : 1.0f)
#undef EMU_FUNCTIONS
#undef EMU_FUNCTION_OF_TWO
#undef EMU_FUNCTION

template <class T>
inline detail::float_only<T> fma(T a, T b, T c) {
  return T(std::fma(float(a), float(b), float(c)));
}
template <class T>
inline detail::float_only<T> mix(T a, T b, T share) {
  return T(a + (b - a) * share);
}
template <class T>
inline detail::number<T> max(T a, T b) {
  if constexpr (detail::is_float<T>) return fmax(a, b);
  return a < b ? b : a;
}
template <class T>
inline detail::number<T> min(T a, T b) {
  if constexpr (detail::is_float<T>) return fmin(a, b);
  return b < a ? b : a;
}
template <class T>
inline detail::number<T> clamp(T value, T low, T high) {
  return min(max(value, low), high);
}
template <class T>
inline detail::number<T> abs(T value) {
  return value < T(0) ? T(-value) : value;
}
template <class T>
inline std::enable_if_t<detail::is_float<T>, bool> isnan(T value) {
  return std::isnan(float(value));
}
template <class T>
inline std::enable_if_t<detail::is_float<T>, bool> isinf(T value) {
  return std::isinf(float(value));
}
template <class T>
inline std::enable_if_t<detail::is_float<T>, bool> isfinite(T value) {
  return std::isfinite(float(value));
}
template <class T>
inline T select(T otherwise, T if_true, bool condition) {
  return condition ? if_true : otherwise;
}
inline uint popcount(uint value) { return uint(__builtin_popcount(value)); }
inline uint clz(uint value) { return value ? uint(__builtin_clz(value)) : 32u; }
inline uint ctz(uint value) { return value ? uint(__builtin_ctz(value)) : 32u; }

}  // namespace metal
