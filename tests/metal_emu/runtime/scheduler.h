// The scheduler: which thread of a threadgroup runs next, where they meet, and what is found wrong.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "executor.h"
#include "fiber.h"

namespace emu {

constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kMaxVariables = 64;

enum State : uint8_t { kReady, kWaiting, kReturned };

struct Thread {
  Fiber fiber;
  Position position;
  State state;
  Meeting meeting;       // where it waits:
  int line;              // ... in the kernel's text
  bool orders_memory;    // ... if that is a threadgroup barrier
  uint64_t collectives;  // how many it has entered
};

struct SimdGroup {
  unsigned first, count;  // threads [first, first + count)
  unsigned turn;          // of the two exchange buffers and tags; flips at every meeting
  bool went_on;           // one lane has left the last meeting
  uint32_t present;       // lanes of the last meeting
  alignas(64) unsigned char slots[2][kSimdWidth][kExchangeBytes];
};

// ThreadSanitizer sees a barrier as: everybody releases a tag, then everybody acquires it. A tag is
// an address. Each barrier has two, used in turn: a thread that runs ahead to the next barrier must
// not release the tag that others have yet to acquire, or its accesses in between would seem
// ordered to them. And no threadgroup has another's: nothing orders one against the other.
constexpr unsigned kTags = 2 * (1 + kMaxThreads / kSimdWidth);

void release(char* tag);
void acquire(char* tag);

class Scheduler {
 public:
  Scheduler(Job& job, Kernel kernel) : job_(job), kernel_(kernel), random_(job.seed) {}

  bool run();

  // Called by the kernel's threads.
  void begin();
  void wait(Meeting meeting, int line);
  void* allocate(unsigned variable, size_t bytes, size_t alignment);
  Thread& current() { return *current_; }
  SimdGroup& simdgroup() { return simdgroups_[current_->position.simdgroup]; }
  char* barrier_tag() { return &tags_[job_.threadgroups * kTags + barrier_turn_]; }
  char* simdgroup_tag() {
    const unsigned index = 2 * (1 + current_->position.simdgroup) + simdgroup().turn;
    return &tags_[job_.threadgroups * kTags + index];
  }

 private:
  void run_threadgroup(Uint3 place);
  void place_threads(Uint3 place, Uint3 size);
  void run_to_barrier();
  bool advance(SimdGroup&);
  bool meet(SimdGroup&);
  bool pass_barrier();
  void drop_threadgroup_memory();
  unsigned below(unsigned bound);
  __attribute__((format(printf, 2, 3))) void fail(const char* format, ...);
  [[noreturn]] void fail_in_thread(const char* what);

  Job& job_;
  Kernel kernel_;
  uint64_t random_;
  bool failed_ = false;
  Home home_;
  Thread* current_ = nullptr;
  std::vector<Thread> threads_;  // of a whole threadgroup, of which one at the grid's edge has
  unsigned thread_count_ = 0;    // only the first
  std::vector<SimdGroup> simdgroups_;
  std::vector<void*> past_fibers_;  // ThreadSanitizer's
  std::vector<char> tags_;
  unsigned barrier_turn_ = 0;
  char end_tag_ = 0;
  void* variables_[kMaxVariables] = {};
  size_t memory_used_ = 0;
  char* arena_ = nullptr;
  size_t arena_bytes_ = 0, arena_used_ = 0;
};

void begin_thread();  // what a fiber starts in: executor.cpp

}  // namespace emu
