/* The tanh of nn/activations.py, which compilers turn into vectors where libm's is a call. */
#ifndef MLX_SPEAK_ACTIVATIONS_H
#define MLX_SPEAK_ACTIVATIONS_H

/* x P(x^2) / Q(x^2), within 3e-7 of tanh: `_rational_tanh` there. NaN stays NaN. */
static inline float rational_tanh(float x) {
  x = x > 7.9053111f ? 7.9053111f : x;
  x = x < -7.9053111f ? -7.9053111f : x;
  float z = x * x, p = -2.76076848e-16f;
  p = p * z + 2.00018790e-13f;
  p = p * z - 8.60467152e-11f;
  p = p * z + 5.12229709e-8f;
  p = p * z + 1.48572236e-5f;
  p = p * z + 6.37261929e-4f;
  p = p * z + 4.89352456e-3f;
  float q = 1.19825839e-6f;
  q = q * z + 1.18534706e-4f;
  q = q * z + 2.26843463e-3f;
  q = q * z + 4.89352519e-3f;
  return x * p / q;
}

#endif
