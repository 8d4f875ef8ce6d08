// Declarations alone, for a second opinion on types: clang reads the kernel as C++ for OpenCL,
// where device, threadgroup, constant and thread are real address spaces, `half` and vectors are
// built in, and there is no C library. Nothing is executed.  -*- c++ -*-
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#undef INFINITY
#undef NAN
#undef FLT_MAX
#undef HALF_MAX
#undef M_PI_F
#undef M_LOG2E_F
#define device __global
#define constant __constant
#define threadgroup __local
#define thread __private
#define kernel
#define METAL_FUNC inline
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define FLT_MAX 3.402823466e+38f
#define HALF_MAX 65504.0f
#define M_PI_F 3.14159265358979323846f
#define M_LOG2E_F 1.44269504088896340736f

namespace metal {

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef char int8_t;
typedef uchar uint8_t;
typedef short int16_t;
typedef ushort uint16_t;
typedef int int32_t;
typedef uint uint32_t;
typedef long int64_t;
typedef ulong uint64_t;
typedef ulong size_t;

template <bool, class T = void>
struct enable_if {};
template <class T>
struct enable_if<true, T> {
  typedef T type;
};

// Both 16-bit floats are the built-in one here: a class would need clang's generic address space,
// with which it no longer sees a pointer that names none. What narrows to bfloat implicitly is
// found where the kernel is compiled to run.
typedef half bfloat;
typedef half float16_t;
typedef bfloat bfloat16_t;

template <class T, int N>
using vec = T __attribute__((ext_vector_type(N)));
#define STRICT_VECTOR(t)                              \
  typedef t t##2 __attribute__((ext_vector_type(2))); \
  typedef t t##3 __attribute__((ext_vector_type(3))); \
  typedef t t##4 __attribute__((ext_vector_type(4)));
STRICT_VECTOR(float)
STRICT_VECTOR(half)
STRICT_VECTOR(char)
STRICT_VECTOR(uchar)
STRICT_VECTOR(short)
STRICT_VECTOR(ushort)
STRICT_VECTOR(int)
STRICT_VECTOR(uint)
STRICT_VECTOR(long)
STRICT_VECTOR(ulong)
#undef STRICT_VECTOR

template <class T>
struct is_float {
  enum { value = 0 };
};
template <class T>
struct is_number {
  enum { value = is_float<T>::value };
};
#define STRICT_TYPE(trait, t) \
  template <>                 \
  struct trait<t> {           \
    enum { value = 1 };       \
  };
STRICT_TYPE(is_float, float)
STRICT_TYPE(is_float, half)
STRICT_TYPE(is_number, char)
STRICT_TYPE(is_number, uchar)
STRICT_TYPE(is_number, short)
STRICT_TYPE(is_number, ushort)
STRICT_TYPE(is_number, int)
STRICT_TYPE(is_number, uint)
STRICT_TYPE(is_number, long)
STRICT_TYPE(is_number, ulong)
#undef STRICT_TYPE
template <class T>
using float_only = typename enable_if<is_float<T>::value, T>::type;
template <class T>
using number = typename enable_if<is_number<T>::value, T>::type;

#define STRICT_FUNCTION(name) \
  template <class T>          \
  float_only<T> name(T);      \
  template <class T, int N>   \
  vec<T, N> name(vec<T, N>);
#define STRICT_FUNCTION_OF_TWO(name) \
  template <class T>                 \
  float_only<T> name(T, T);
#define STRICT_FUNCTIONS        \
  STRICT_FUNCTION(exp)          \
  STRICT_FUNCTION(exp2)         \
  STRICT_FUNCTION(exp10)        \
  STRICT_FUNCTION(log)          \
  STRICT_FUNCTION(log2)         \
  STRICT_FUNCTION(log10)        \
  STRICT_FUNCTION(sqrt)         \
  STRICT_FUNCTION(rsqrt)        \
  STRICT_FUNCTION(sin)          \
  STRICT_FUNCTION(cos)          \
  STRICT_FUNCTION(tan)          \
  STRICT_FUNCTION(sinh)         \
  STRICT_FUNCTION(cosh)         \
  STRICT_FUNCTION(tanh)         \
  STRICT_FUNCTION(asin)         \
  STRICT_FUNCTION(acos)         \
  STRICT_FUNCTION(atan)         \
  STRICT_FUNCTION_OF_TWO(atan2) \
  STRICT_FUNCTION_OF_TWO(fmod)  \
  STRICT_FUNCTION_OF_TWO(pow)   \
  STRICT_FUNCTION_OF_TWO(powr)
STRICT_FUNCTIONS
namespace fast {
STRICT_FUNCTIONS
}
namespace precise {
STRICT_FUNCTIONS
}
STRICT_FUNCTION(fabs)
STRICT_FUNCTION(floor)
STRICT_FUNCTION(ceil)
STRICT_FUNCTION(trunc)
STRICT_FUNCTION(round)
STRICT_FUNCTION(rint)
STRICT_FUNCTION(fract)
STRICT_FUNCTION(saturate)
STRICT_FUNCTION(sign)
STRICT_FUNCTION_OF_TWO(fmax)
STRICT_FUNCTION_OF_TWO(fmin)
STRICT_FUNCTION_OF_TWO(step)
#undef STRICT_FUNCTIONS
#undef STRICT_FUNCTION_OF_TWO
#undef STRICT_FUNCTION

template <class T>
float_only<T> fma(T, T, T);
template <class T>
float_only<T> mix(T, T, T);
template <class T>
number<T> max(T, T);
template <class T>
number<T> min(T, T);
template <class T>
number<T> clamp(T, T, T);
template <class T>
number<T> abs(T);
template <class T>
bool isnan(T);
template <class T>
bool isinf(T);
template <class T>
bool isfinite(T);
template <class T>
T select(T, T, bool);
template <class T, int N>
T dot(vec<T, N>, vec<T, N>);
template <class To, class From>
To as_type(From);
uint popcount(uint);
uint clz(uint);
uint ctz(uint);

template <class T>
struct numeric_limits {
  static T max();
  static T lowest();
  static T min();
  static T epsilon();
  static T infinity();
  static T quiet_NaN();
};

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
mem_flags operator|(mem_flags, mem_flags);
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);

#define STRICT_COLLECTIVE(name) \
  template <class T>            \
  number<T> name(T);            \
  template <class T, int N>     \
  vec<T, N> name(vec<T, N>);
STRICT_COLLECTIVE(simd_sum)
STRICT_COLLECTIVE(simd_product)
STRICT_COLLECTIVE(simd_max)
STRICT_COLLECTIVE(simd_min)
STRICT_COLLECTIVE(simd_prefix_inclusive_sum)
STRICT_COLLECTIVE(simd_prefix_exclusive_sum)
STRICT_COLLECTIVE(simd_broadcast_first)
#undef STRICT_COLLECTIVE
#define STRICT_SHUFFLE(name) \
  template <class T>         \
  T name(T, ushort);
STRICT_SHUFFLE(simd_broadcast)
STRICT_SHUFFLE(simd_shuffle)
STRICT_SHUFFLE(simd_shuffle_xor)
STRICT_SHUFFLE(simd_shuffle_down)
STRICT_SHUFFLE(simd_shuffle_up)
#undef STRICT_SHUFFLE
bool simd_any(bool);
bool simd_all(bool);

enum memory_order { memory_order_relaxed };
template <class T>
struct atomic {
  T value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<float> atomic_float;
#define STRICT_ATOMIC(space)                                      \
  template <class T>                                              \
  T atomic_fetch_add_explicit(space atomic<T>*, T, memory_order); \
  template <class T>                                              \
  T atomic_fetch_max_explicit(space atomic<T>*, T, memory_order); \
  template <class T>                                              \
  T atomic_fetch_min_explicit(space atomic<T>*, T, memory_order); \
  template <class T>                                              \
  T atomic_load_explicit(space const atomic<T>*, memory_order);   \
  template <class T>                                              \
  void atomic_store_explicit(space atomic<T>*, T, memory_order);
STRICT_ATOMIC(device)
STRICT_ATOMIC(threadgroup)
#undef STRICT_ATOMIC

template <class T, class U>
T ceildiv(T, U);
template <class Index = int64_t>
Index elem_to_loc(uint, constant const int*, constant const int64_t*, int);

}  // namespace metal

namespace emu {
template <class T>
__local T& threadgroup_variable(unsigned);
}
