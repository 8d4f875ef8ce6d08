// Vectors of two to four, with Metal's size and alignment: three are padded to four.
#pragma once
#include "floats.h"

namespace metal {

template <class T, int N>
struct vec;

template <class T>
struct alignas(2 * sizeof(T)) vec<T, 2> {
  union {
    T d[2];
    struct {
      T x, y;
    };
  };
  vec() = default;
  vec(T all) : d{all, all} {}
  vec(T a, T b) : d{a, b} {}
  template <class U>
  explicit vec(const vec<U, 2>& o) : d{T(o.d[0]), T(o.d[1])} {}
  T& operator[](unsigned i) { return d[i]; }
  const T& operator[](unsigned i) const { return d[i]; }
};

template <class T>
struct alignas(4 * sizeof(T)) vec<T, 3> {
  union {
    T d[3];
    struct {
      T x, y, z;
    };
    vec<T, 2> xy;
  };
  vec() = default;
  vec(T all) : d{all, all, all} {}
  vec(T a, T b, T c) : d{a, b, c} {}
  vec(vec<T, 2> ab, T c) : d{ab.x, ab.y, c} {}
  template <class U>
  explicit vec(const vec<U, 3>& o) : d{T(o.d[0]), T(o.d[1]), T(o.d[2])} {}
  T& operator[](unsigned i) { return d[i]; }
  const T& operator[](unsigned i) const { return d[i]; }
};

template <class T>
struct alignas(4 * sizeof(T)) vec<T, 4> {
  union {
    T d[4];
    struct {
      T x, y, z, w;
    };
    struct {
      vec<T, 2> xy, zw;
    };
  };
  vec() = default;
  vec(T all) : d{all, all, all, all} {}
  vec(T a, T b, T c, T e) : d{a, b, c, e} {}
  vec(vec<T, 2> ab, vec<T, 2> cd) : d{ab.x, ab.y, cd.x, cd.y} {}
  vec(vec<T, 3> abc, T e) : d{abc.x, abc.y, abc.z, e} {}
  template <class U>
  explicit vec(const vec<U, 4>& o) : d{T(o.d[0]), T(o.d[1]), T(o.d[2]), T(o.d[3])} {}
  T& operator[](unsigned i) { return d[i]; }
  const T& operator[](unsigned i) const { return d[i]; }
};

#define EMU_OPERATOR(op)                                                                         \
  template <class T, int N>                                                                      \
  inline vec<T, N> operator op(vec<T, N> a, vec<T, N> b) {                                       \
    for (int i = 0; i < N; ++i) a.d[i] = T(a.d[i] op b.d[i]);                                    \
    return a;                                                                                    \
  }                                                                                              \
  template <class T, int N, class S, class = std::enable_if_t<std::is_convertible<S, T>::value>> \
  inline vec<T, N> operator op(vec<T, N> a, S b) {                                               \
    return a op vec<T, N>(T(b));                                                                 \
  }                                                                                              \
  template <class T, int N, class S, class = std::enable_if_t<std::is_convertible<S, T>::value>> \
  inline vec<T, N> operator op(S a, vec<T, N> b) {                                               \
    return vec<T, N>(T(a)) op b;                                                                 \
  }                                                                                              \
  template <class T, int N, class B>                                                             \
  inline vec<T, N>& operator op## = (vec<T, N> & a, B b) {                                       \
    return a = a op b;                                                                           \
  }
EMU_OPERATOR(+)
EMU_OPERATOR(-)
EMU_OPERATOR(*)
EMU_OPERATOR(/)
EMU_OPERATOR(&)
EMU_OPERATOR(|)
EMU_OPERATOR(^)
#undef EMU_OPERATOR

template <class T, int N>
inline vec<T, N> operator-(vec<T, N> a) {
  for (int i = 0; i < N; ++i) a.d[i] = -a.d[i];
  return a;
}

template <class T, int N>
inline T dot(vec<T, N> a, vec<T, N> b) {
  T sum = a.d[0] * b.d[0];
  for (int i = 1; i < N; ++i) sum = T(sum + a.d[i] * b.d[i]);
  return sum;
}

#define EMU_VECTOR(t)     \
  typedef vec<t, 2> t##2; \
  typedef vec<t, 3> t##3; \
  typedef vec<t, 4> t##4;
EMU_VECTOR(float)
EMU_VECTOR(half)
EMU_VECTOR(bfloat)
EMU_VECTOR(bool)
EMU_VECTOR(char)
EMU_VECTOR(uchar)
EMU_VECTOR(short)
EMU_VECTOR(ushort)
EMU_VECTOR(int)
EMU_VECTOR(uint)
EMU_VECTOR(long)
EMU_VECTOR(ulong)
#undef EMU_VECTOR

}  // namespace metal
