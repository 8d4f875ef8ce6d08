#include "scheduler.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#if defined(EMU_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace emu {
namespace {

const char* name(Meeting meeting) {
  switch (meeting) {
    case kCollective:
      return "a SIMD-group function";
    case kSimdBarrier:
      return "simdgroup_barrier";
    default:
      return "threadgroup_barrier";
  }
}

}  // namespace

void release([[maybe_unused]] char* tag) {
#if defined(EMU_TSAN)
  __tsan_release(tag);
#endif
}

void acquire([[maybe_unused]] char* tag) {
#if defined(EMU_TSAN)
  __tsan_acquire(tag);
#endif
}

void Scheduler::fail(const char* format, ...) {
  if (failed_) return;
  failed_ = true;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(job_.error, job_.error_bytes, format, arguments);
  va_end(arguments);
}

void Scheduler::fail_in_thread(const char* what) {
  fail("%s", what);
  wait(kCollective, 0);  // and is never resumed
  abort();
}

unsigned Scheduler::below(unsigned bound) {  // splitmix64
  uint64_t z = (random_ += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<unsigned>((z ^ (z >> 31)) % bound);
}

void Scheduler::begin() {
  arrive(home_);
  kernel_(current_->position, job_.buffers);
  current_->state = kReturned;
  release(&end_tag_);
  go_home(home_, current_->fiber, true);
  abort();
}

void Scheduler::wait(Meeting meeting, int line) {
  Thread& thread = *current_;
  thread.state = kWaiting;
  thread.meeting = meeting;
  thread.line = line;
  thread.collectives += meeting != kThreadgroupBarrier;
  go_home(home_, thread.fiber);
}

// Run every ready lane to its next meeting point and let the lanes meet there. False when the
// SIMD group can go no further by itself: it waits at a threadgroup barrier, or has returned.
bool Scheduler::advance(SimdGroup& group) {
  unsigned order[kSimdWidth];
  for (unsigned i = 0; i < group.count; ++i) {
    order[i] = job_.order == kReverse ? group.count - 1 - i : i;
  }
  if (job_.order == kRandom) {
    for (unsigned i = group.count; i > 1; --i) std::swap(order[i - 1], order[below(i)]);
  }
  for (unsigned i = 0; i < group.count && !failed_; ++i) {
    Thread& thread = threads_[group.first + order[i]];
    if (thread.state != kReady) continue;
    current_ = &thread;
    resume(home_, thread.fiber);
    current_ = nullptr;
  }
  return !failed_ && meet(group);
}

bool Scheduler::meet(SimdGroup& group) {
  const Thread* first = nullptr;
  uint32_t present = 0;
  for (unsigned lane = 0; lane < group.count; ++lane) {
    const Thread& other = threads_[group.first + lane];
    if (other.state == kReturned) continue;
    present |= 1u << lane;
    if (!first) first = &other;
    bool together = other.meeting == first->meeting && other.line == first->line;
    if (first->meeting != kThreadgroupBarrier) together &= other.collectives == first->collectives;
    if (!together) {
      fail(
          "divergence inside SIMD group %u: lane %u waits at %s (line %d), lane %u at %s (line %d)",
          first->position.simdgroup, first->position.lane, name(first->meeting), first->line,
          other.position.lane, name(other.meeting), other.line);
      return false;
    }
  }
  if (!first || first->meeting == kThreadgroupBarrier) return false;
  group.present = present;
  group.turn ^= 1;
  group.went_on = false;
  ++job_.collectives;
  for (unsigned lane = 0; lane < group.count; ++lane) {
    Thread& thread = threads_[group.first + lane];
    if (thread.state == kWaiting) thread.state = kReady;
  }
  return true;
}

// Let every SIMD group run until it waits at a threadgroup barrier or has returned.
void Scheduler::run_to_barrier() {
  const unsigned count = static_cast<unsigned>(simdgroups_.size());
  std::vector<unsigned> running(count);
  for (unsigned i = 0; i < count; ++i) running[i] = job_.order == kReverse ? i : count - 1 - i;
  while (!running.empty() && !failed_) {
    // The random order changes SIMD groups at every meeting, the others run one to its end.
    size_t next =
        job_.order == kRandom ? below(static_cast<unsigned>(running.size())) : running.size() - 1;
    if (!advance(simdgroups_[running[next]])) running.erase(running.begin() + next);
  }
}

// False when every thread has returned, or when they wait at different barriers.
bool Scheduler::pass_barrier() {
  const Thread *waiting = nullptr, *returned = nullptr, *elsewhere = nullptr;
  for (unsigned i = 0; i < thread_count_; ++i) {
    const Thread& thread = threads_[i];
    if (thread.state == kReturned) {
      if (!returned) returned = &thread;
    } else if (!waiting) {
      waiting = &thread;
    } else if (thread.line != waiting->line || thread.orders_memory != waiting->orders_memory) {
      if (!elsewhere) elsewhere = &thread;
    }
  }
  if (!waiting) return false;
  const unsigned index = waiting->position.thread_index;
  if (returned) {
    fail("threadgroup_barrier at line %d: thread %u waits, but thread %u has already returned",
         waiting->line, index, returned->position.thread_index);
    return false;
  }
  if (elsewhere) {
    fail("divergent threadgroup_barrier: thread %u waits at line %d, thread %u at line %d", index,
         waiting->line, elsewhere->position.thread_index, elsewhere->line);
    return false;
  }
  ++job_.barriers;
  barrier_turn_ ^= 1;
  for (unsigned i = 0; i < thread_count_; ++i) threads_[i].state = kReady;
  return true;
}

void Scheduler::place_threads(Uint3 place, Uint3 size) {
  const auto& full = job_.threadgroup;
  const Uint3 grid = {job_.grid[0], job_.grid[1], job_.grid[2]};
  for (unsigned i = 0; i < thread_count_; ++i) {
    Thread& thread = threads_[i];
    thread.state = kReady;
    thread.collectives = 0;
    Position& p = thread.position;
    p.thread_in_threadgroup = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    p.threadgroup_in_grid = place;
    p.threadgroup_size = size;
    p.full_threadgroup_size = {full[0], full[1], full[2]};
    p.thread_in_grid = {place.x * full[0] + p.thread_in_threadgroup.x,
                        place.y * full[1] + p.thread_in_threadgroup.y,
                        place.z * full[2] + p.thread_in_threadgroup.z};
    p.grid_size = grid;
    p.threadgroups_in_grid = {(grid.x + full[0] - 1) / full[0], (grid.y + full[1] - 1) / full[1],
                              (grid.z + full[2] - 1) / full[2]};
    p.thread_index = i;
    p.lane = i % kSimdWidth;
    p.simdgroup = i / kSimdWidth;
    p.simdgroups = static_cast<uint32_t>(simdgroups_.size());
    p.full_simdgroups = (full[0] * full[1] * full[2] + kSimdWidth - 1) / kSimdWidth;
#if defined(EMU_TSAN)
    if (job_.threadgroups) forget_stack(thread.fiber);
#endif
    prepare(thread.fiber, begin_thread);
  }
}

void Scheduler::run_threadgroup(Uint3 place) {
  const auto& full = job_.threadgroup;
  const Uint3 size = {std::min(full[0], job_.grid[0] - place.x * full[0]),
                      std::min(full[1], job_.grid[1] - place.y * full[1]),
                      std::min(full[2], job_.grid[2] - place.z * full[2])};
  const unsigned count = size.x * size.y * size.z;
  thread_count_ = count;
  simdgroups_.assign((count + kSimdWidth - 1) / kSimdWidth, SimdGroup{});
  for (unsigned i = 0; i < simdgroups_.size(); ++i) {
    simdgroups_[i].first = i * kSimdWidth;
    simdgroups_[i].count = std::min(kSimdWidth, count - i * kSimdWidth);
  }
  place_threads(place, size);
  do {
    run_to_barrier();
  } while (!failed_ && pass_barrier());
  drop_threadgroup_memory();
#if defined(EMU_TSAN)
  // Kept for long, so that their numbers are not given to threads of the next threadgroups: two
  // that touch the same device memory must look like different threads.
  for (unsigned i = 0; i < count; ++i) past_fibers_.push_back(threads_[i].fiber.tsan_fiber);
  if (past_fibers_.size() > 6000) {
    for (void* fiber : past_fibers_) __tsan_destroy_fiber(fiber);
    past_fibers_.clear();
  }
#endif
}

void* Scheduler::allocate(unsigned variable, size_t bytes, size_t alignment) {
  if (variable >= kMaxVariables) fail_in_thread("too many threadgroup variables for the emulator");
  if (variables_[variable]) return variables_[variable];
  memory_used_ += (bytes + 15) / 16 * 16;
  job_.threadgroup_memory = std::max<uint64_t>(job_.threadgroup_memory, memory_used_);
  if (memory_used_ > job_.threadgroup_memory_limit) {
    char what[128];
    snprintf(what, sizeof what, "threadgroup memory of %zu bytes exceeds the limit of %u",
             memory_used_, job_.threadgroup_memory_limit);
    fail_in_thread(what);
  }
#if defined(EMU_ASAN)
  char* memory = static_cast<char*>(malloc(bytes));  // with redzones at its exact borders
  (void)alignment;
#else
  arena_used_ = (arena_used_ + alignment - 1) / alignment * alignment;
  if (arena_used_ + bytes > arena_bytes_) fail_in_thread("the emulator's arena is too small");
  char* memory = arena_ + arena_used_;
  arena_used_ += bytes;
#endif
  // Byte by byte: ThreadSanitizer would take a memset for a write of this thread.
  volatile char* bytes_to_fill = memory;
  for (size_t i = 0; i < bytes; ++i) bytes_to_fill[i] = static_cast<char>(job_.poison);
  variables_[variable] = memory;
  return memory;
}

void Scheduler::drop_threadgroup_memory() {
#if defined(EMU_ASAN)
  for (void* memory : variables_) free(memory);
#elif !defined(EMU_TSAN)  // where no address is used twice: ThreadSanitizer would see a race
  arena_used_ = 0;
#endif
  std::fill(std::begin(variables_), std::end(variables_), nullptr);
  memory_used_ = 0;
}

bool Scheduler::run() {
  for (int axis = 0; axis < 3; ++axis) {
    job_.threadgroup[axis] = std::min(job_.threadgroup[axis], job_.grid[axis]);
  }
  const auto& full = job_.threadgroup;
  const uint64_t count = uint64_t(full[0]) * full[1] * full[2];
  if (!count || count > kMaxThreads) {
    fail("a threadgroup of %llu threads: it must be 1 to %u", (unsigned long long)count,
         kMaxThreads);
    return false;
  }
  const Uint3 groups = {(job_.grid[0] + full[0] - 1) / full[0],
                        (job_.grid[1] + full[1] - 1) / full[1],
                        (job_.grid[2] + full[2] - 1) / full[2]};
  const uint64_t total = uint64_t(groups.x) * groups.y * groups.z;
  arena_bytes_ = job_.threadgroup_memory_limit + 4096;
#if defined(EMU_TSAN)
  arena_bytes_ *= total;
#endif
  char* stacks = map_stacks(count);
  arena_ = static_cast<char*>(mmap(nullptr, arena_bytes_, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (!stacks || arena_ == MAP_FAILED) {
    fail("the emulator got no memory");
    return false;
  }
  enter_home(home_);
  tags_.resize(total * kTags);
  threads_.resize(count);
  for (unsigned i = 0; i < count; ++i) threads_[i].fiber.stack = stack_at(stacks, i);
  std::vector<uint64_t> order(total);
  for (uint64_t i = 0; i < total; ++i) order[i] = job_.order == kReverse ? total - 1 - i : i;
  if (job_.order == kRandom) {
    for (uint64_t i = total; i > 1; --i) std::swap(order[i - 1], order[below(unsigned(i))]);
  }
  for (uint64_t i = 0; i < total && !failed_; ++i) {
    const uint64_t at = order[i];
    run_threadgroup({uint32_t(at % groups.x), uint32_t(at / groups.x % groups.y),
                     uint32_t(at / groups.x / groups.y)});
    ++job_.threadgroups;
  }
  acquire(&end_tag_);  // only now may the host read the results
#if defined(EMU_TSAN)
  for (void* fiber : past_fibers_) __tsan_destroy_fiber(fiber);
#endif
  unmap_stacks(stacks, count);
  munmap(arena_, arena_bytes_);
  return !failed_;
}

}  // namespace emu
