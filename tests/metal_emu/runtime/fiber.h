// A fiber: a stack of its own, and the registers to go on with. One GPU thread runs on each.
#pragma once
#include <cstddef>

namespace emu {

struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;       // the lowest address; kStackBytes long
  void* fake_stack = nullptr;  // AddressSanitizer's, while the fiber waits
  void* tsan_fiber = nullptr;  // what ThreadSanitizer takes for a thread
};

constexpr size_t kStackBytes = 128 * 1024;

// The thread that runs the scheduler; fibers come back to it whenever they wait.
struct Home {
  void* stack_pointer = nullptr;
  void* fake_stack = nullptr;
  void* tsan_fiber = nullptr;
  const void* stack = nullptr;
  size_t stack_bytes = 0;
};

void enter_home(Home&);

// Stacks for `count` fibers with a guard page below each; null where there is no memory.
char* map_stacks(size_t count);
char* stack_at(char* mapping, size_t index);
void unmap_stacks(char* mapping, size_t count);
void forget_stack(Fiber&);  // zero pages, so that ThreadSanitizer forgets who wrote there

// Make the fiber start in `begin` when it is resumed. `begin` must call `arrive` first.
void prepare(Fiber&, void (*begin)());
void arrive(Home&);
void resume(Home&, Fiber&);                          // called at home; returns when the fiber waits
void go_home(Home&, Fiber&, bool for_good = false);  // called in the fiber

}  // namespace emu
