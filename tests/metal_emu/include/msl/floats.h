// Integer names, and the 16-bit floats: arithmetic in fp32, rounded after every operation.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace metal {

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
static_assert(sizeof(long) == 8, "Metal's long has 64 bits");

template <class To, class From>
inline To as_type(From from) {
  static_assert(sizeof(To) == sizeof(From), "as_type keeps the size");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

namespace detail {

inline uint16_t to_half(float value) {  // round to nearest even
  const uint32_t bits = as_type<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return uint16_t(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 leaves its bits at the low end
    return uint16_t(sign | (as_type<uint32_t>(as_type<float>(magnitude) + 0.5f) - 0x3f000000u));
  }
  const uint32_t rebased = magnitude - 0x38000000u;
  return uint16_t(sign | ((rebased + 0xfffu + (rebased >> 13 & 1u)) >> 13));
}

inline float from_half(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000u) << 16;
  const uint32_t exponent = half >> 10 & 31u, mantissa = half & 1023u;
  if (exponent == 31) return as_type<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent) return as_type<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  return as_type<float>(as_type<uint32_t>(float(mantissa) * 0x1p-24f) | sign);
}

inline uint16_t to_bfloat(float value) {  // round to nearest even
  const uint32_t bits = as_type<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return uint16_t(bits >> 16 | 0x40u);
  return uint16_t((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

inline float from_bfloat(uint16_t bfloat) { return as_type<float>(uint32_t(bfloat) << 16); }

}  // namespace detail

struct half {
  uint16_t bits;
  half() = default;
  template <class T, class = std::enable_if_t<std::is_arithmetic<T>::value>>
  half(T value) : bits(detail::to_half(float(value))) {}
  operator float() const { return detail::from_half(bits); }
};

struct bfloat {  // unlike half, Metal narrows to it only where that is spelled out
  uint16_t bits;
  bfloat() = default;
  template <class T, class = std::enable_if_t<std::is_arithmetic<T>::value>>
  explicit bfloat(T value) : bits(detail::to_bfloat(float(value))) {}
  explicit bfloat(half value) : bits(detail::to_bfloat(float(value))) {}
  operator float() const { return detail::from_bfloat(bits); }
};

namespace detail {

template <class T>
constexpr bool is_16_bit = std::is_same<T, half>::value || std::is_same<T, bfloat>::value;
template <class T>
constexpr bool is_float = is_16_bit<T> || std::is_same<T, float>::value;
template <class T>
constexpr bool is_int = std::is_integral<T>::value;

// What `half + int`, `bfloat + float` and so on give; void where Metal has no such operator.
template <class A, class B>
using common =
    std::conditional_t<std::is_same<A, B>::value || is_int<B>, A,
                       std::conditional_t<is_int<A>, B,
                                          std::conditional_t<std::is_same<A, float>::value ||
                                                                 std::is_same<B, float>::value,
                                                             float, void>>>;

template <class A, class B>
using if_16_bit =
    std::enable_if_t<(is_16_bit<A> || is_16_bit<B>) && (is_float<A> || is_int<A>) &&
                         (is_float<B> || is_int<B>) && !std::is_void<common<A, B>>::value,
                     common<A, B>>;

}  // namespace detail

#define EMU_OPERATOR(op)                                                      \
  template <class A, class B>                                                 \
  inline detail::if_16_bit<A, B> operator op(A a, B b) {                      \
    return detail::common<A, B>(float(a) op float(b));                        \
  }                                                                           \
  template <class A, class B, class = std::enable_if_t<detail::is_16_bit<A>>> \
  inline A& operator op## = (A & a, B b) {                                    \
    a = A(float(a op b));                                                     \
    return a;                                                                 \
  }
EMU_OPERATOR(+)
EMU_OPERATOR(-)
EMU_OPERATOR(*)
EMU_OPERATOR(/)
#undef EMU_OPERATOR

template <class T>
inline std::enable_if_t<detail::is_16_bit<T>, T> operator-(T value) {
  value.bits ^= 0x8000u;
  return value;
}

namespace detail {
template <class T, uint16_t kMax, uint16_t kMin, uint16_t kEpsilon, uint16_t kInfinity>
struct limits_16_bit {
  static T from_bits(uint16_t bits) { return as_type<T>(bits); }
  static T max() { return from_bits(kMax); }
  static T lowest() { return from_bits(kMax | 0x8000u); }
  static T min() { return from_bits(kMin); }
  static T epsilon() { return from_bits(kEpsilon); }
  static T infinity() { return from_bits(kInfinity); }
  static T quiet_NaN() { return from_bits(kInfinity | kInfinity >> 1); }
};
}  // namespace detail

template <class T>
struct numeric_limits : std::numeric_limits<T> {};
template <>
struct numeric_limits<half> : detail::limits_16_bit<half, 0x7bff, 0x0400, 0x1400, 0x7c00> {};
template <>
struct numeric_limits<bfloat> : detail::limits_16_bit<bfloat, 0x7f7f, 0x0080, 0x3c00, 0x7f80> {};

}  // namespace metal
