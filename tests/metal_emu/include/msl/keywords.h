// Words of Metal that mean nothing here, and its macros. The strict check (strict/) is where
// address spaces count.
#pragma once
#define device
#define constant
#define thread
#define threadgroup
#define kernel
#define METAL_FUNC inline
#define __METAL__ 1
#define __METAL_VERSION__ 310
#undef INFINITY
#define INFINITY __builtin_inff()
#define HALF_MAX 65504.0f
#define M_PI_F 3.14159265358979323846f
#define M_LOG2E_F 1.44269504088896340736f
