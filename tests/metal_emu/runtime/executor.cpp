// What a kernel calls, passed on to the scheduler of its thread.
#include "executor.h"

#include <utility>

#include "scheduler.h"

#if defined(EMU_TSAN)
extern "C" void __tsan_ignore_thread_begin();
extern "C" void __tsan_ignore_thread_end();
#endif

namespace emu {
namespace {

thread_local Scheduler* scheduler = nullptr;

}  // namespace

void begin_thread() { scheduler->begin(); }

int run(Job& job, Kernel kernel) {
  job.threadgroups = job.collectives = job.barriers = job.threadgroup_memory = 0;
  job.error[0] = 0;
  Scheduler here(job, kernel);
  scheduler = &here;
  const bool ok = here.run();
  scheduler = nullptr;
  return ok ? 0 : 1;
}

void* deposit(unsigned lane) {
  SimdGroup& group = scheduler->simdgroup();
  return group.slots[group.turn][lane];
}

void* result(unsigned lane) {
  SimdGroup& group = scheduler->simdgroup();
  return group.slots[group.turn ^ 1][lane];
}

bool first_to_go_on() {
  SimdGroup& group = scheduler->simdgroup();
  return !std::exchange(group.went_on, true);
}

unsigned lane() { return scheduler->current().position.lane; }

uint32_t lanes_present() { return scheduler->simdgroup().present; }

void meet_simdgroup(Meeting meeting, int line) {
  char* tag = scheduler->simdgroup_tag();
  if (meeting == kSimdBarrier) release(tag);  // a collective orders no memory
  scheduler->wait(meeting, line);
  if (meeting == kSimdBarrier) acquire(tag);
}

void meet_threadgroup(bool orders_memory, int line) {
  char* tag = scheduler->barrier_tag();
  scheduler->current().orders_memory = orders_memory;
  if (orders_memory) release(tag);
  scheduler->wait(kThreadgroupBarrier, line);
  if (orders_memory) acquire(tag);
}

void* threadgroup_memory(unsigned variable, size_t bytes, size_t alignment) {
  return scheduler->allocate(variable, bytes, alignment);
}

void hide_from_tsan([[maybe_unused]] bool hide) {
#if defined(EMU_TSAN)
  if (hide) {
    __tsan_ignore_thread_begin();
  } else {
    __tsan_ignore_thread_end();
  }
#endif
}

}  // namespace emu
