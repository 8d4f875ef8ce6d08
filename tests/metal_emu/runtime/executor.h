// Executes a kernel: one fiber for each GPU thread, all of them on one thread of the processor.
// This is the border between the executor (the other files here, not instrumented by
// ThreadSanitizer) and the kernel's own code, which reaches it through metal_stdlib.
#pragma once
#include <cstddef>
#include <cstdint>

namespace emu {

constexpr unsigned kSimdWidth = 32;      // lanes of a SIMD group on every GPU that MLX supports
constexpr unsigned kExchangeBytes = 64;  // what one lane may hand over in a collective

struct Uint3 {
  uint32_t x, y, z;
};

// What the attributes of a kernel's parameters ([[thread_position_in_grid]], ...) are filled from.
struct Position {
  Uint3 thread_in_grid, thread_in_threadgroup, threadgroup_in_grid;
  Uint3 threadgroup_size, full_threadgroup_size, grid_size, threadgroups_in_grid;
  uint32_t thread_index, lane, simdgroup, simdgroups, full_simdgroups;
};

using Kernel = void (*)(const Position&, void** buffers);

enum Order : uint32_t { kForward, kReverse, kRandom };

struct Job {  // execute.py has its twin
  uint32_t grid[3];
  uint32_t threadgroup[3];
  void** buffers;
  uint32_t order;
  uint32_t threadgroup_memory_limit;  // bytes
  uint32_t poison;                    // the byte that threadgroup memory holds before it is written
  uint32_t error_bytes;
  uint64_t seed;
  char* error;                                                       // says what went wrong
  uint64_t threadgroups, collectives, barriers, threadgroup_memory;  // what was executed
};

int run(Job&, Kernel);  // 0, or 1 with the reason in `error`

enum Meeting : uint8_t { kCollective, kSimdBarrier, kThreadgroupBarrier };

// A collective of a SIMD group: every lane deposits a value and waits; the first to go on turns
// all the deposits into results.
// There are two buffers, used in turn, as a lane may deposit for the next before all have read.
void* deposit(unsigned lane);  // before the meeting
void* result(unsigned lane);   // after it: what the lane deposited, then what it gets
bool first_to_go_on();
unsigned lane();
uint32_t lanes_present();  // bits of those that take part: all that have not returned
void meet_simdgroup(Meeting, int line);
void meet_threadgroup(bool orders_memory, int line);

void* threadgroup_memory(unsigned variable, size_t bytes, size_t alignment);
void hide_from_tsan(bool);  // the executor's own traffic within the kernel's code

}  // namespace emu
