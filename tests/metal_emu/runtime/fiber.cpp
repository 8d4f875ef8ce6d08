#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#if defined(EMU_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EMU_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

// Save the registers that a call must keep, swap stacks, restore the other side's.
extern "C" void emu_switch(void** save_stack_pointer, void* load_stack_pointer);

#if defined(__APPLE__)
#define EMU_SYMBOL "_emu_switch"
#else
#define EMU_SYMBOL "emu_switch"
#endif

#if defined(__x86_64__)
asm(".text\n.globl " EMU_SYMBOL "\n" EMU_SYMBOL
    ":\n"
    R"(
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#elif defined(__aarch64__)
asm(".text\n.globl " EMU_SYMBOL "\n.p2align 2\n" EMU_SYMBOL
    ":\n"
    R"(
  sub sp,sp,#160
  stp x19,x20,[sp,#0]
  stp x21,x22,[sp,#16]
  stp x23,x24,[sp,#32]
  stp x25,x26,[sp,#48]
  stp x27,x28,[sp,#64]
  stp x29,x30,[sp,#80]
  stp d8,d9,[sp,#96]
  stp d10,d11,[sp,#112]
  stp d12,d13,[sp,#128]
  stp d14,d15,[sp,#144]
  mov x9,sp
  str x9,[x0]
  mov sp,x1
  ldp x19,x20,[sp,#0]
  ldp x21,x22,[sp,#16]
  ldp x23,x24,[sp,#32]
  ldp x25,x26,[sp,#48]
  ldp x27,x28,[sp,#64]
  ldp x29,x30,[sp,#80]
  ldp d8,d9,[sp,#96]
  ldp d10,d11,[sp,#112]
  ldp d12,d13,[sp,#128]
  ldp d14,d15,[sp,#144]
  add sp,sp,#160
  ret
)");
#else
#error "write a context switch for this processor"
#endif

namespace emu {
namespace {

constexpr size_t kGuardBytes = 16 * 1024;  // a whole page on every system
constexpr size_t kSpacing = kStackBytes + kGuardBytes;

char* map_memory(void* where, size_t bytes) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (where ? MAP_FIXED : 0);
  void* mapping = mmap(where, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  return mapping == MAP_FAILED ? nullptr : static_cast<char*>(mapping);
}

}  // namespace

void enter_home(Home& home) {
#if defined(EMU_TSAN)
  home.tsan_fiber = __tsan_get_current_fiber();
#else
  (void)home;
#endif
}

char* map_stacks(size_t count) {
  char* mapping = map_memory(nullptr, count * kSpacing);
  for (size_t i = 0; mapping && i < count; ++i) {
    mprotect(mapping + i * kSpacing, kGuardBytes, PROT_NONE);
  }
  return mapping;
}

char* stack_at(char* mapping, size_t index) { return mapping + index * kSpacing + kGuardBytes; }

void unmap_stacks(char* mapping, size_t count) { munmap(mapping, count * kSpacing); }

void forget_stack(Fiber& fiber) { map_memory(fiber.stack, kStackBytes); }

void prepare(Fiber& fiber, void (*begin)()) {
  void** top = reinterpret_cast<void**>(fiber.stack + kStackBytes);
#if defined(__x86_64__)
  *--top = nullptr;  // as if `begin` had been called: the stack pointer is 8 modulo 16
  *--top = reinterpret_cast<void*>(begin);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
#else
  top -= 20;
  std::memset(top, 0, 160);
  top[11] = reinterpret_cast<void*>(begin);  // x30, where the switch returns to
#endif
  fiber.stack_pointer = top;
  fiber.fake_stack = nullptr;
#if defined(EMU_TSAN)
  fiber.tsan_fiber = __tsan_create_fiber(0);
#endif
}

void arrive(Home& home) {
#if defined(EMU_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &home.stack, &home.stack_bytes);
#else
  (void)home;
#endif
}

void resume(Home& home, Fiber& fiber) {
#if defined(EMU_ASAN)
  __sanitizer_start_switch_fiber(&home.fake_stack, fiber.stack, kStackBytes);
#endif
#if defined(EMU_TSAN)
  __tsan_switch_to_fiber(fiber.tsan_fiber, 1);  // 1: without a happens-before edge
#endif
  emu_switch(&home.stack_pointer, fiber.stack_pointer);
#if defined(EMU_ASAN)
  __sanitizer_finish_switch_fiber(home.fake_stack, nullptr, nullptr);
#endif
}

void go_home(Home& home, Fiber& fiber, bool for_good) {
#if defined(EMU_ASAN)
  void** keep = for_good ? nullptr : &fiber.fake_stack;
  __sanitizer_start_switch_fiber(keep, home.stack, home.stack_bytes);
#endif
#if defined(EMU_TSAN)
  __tsan_switch_to_fiber(home.tsan_fiber, 1);
#endif
  (void)for_good;
  emu_switch(&fiber.stack_pointer, home.stack_pointer);
#if defined(EMU_ASAN)
  __sanitizer_finish_switch_fiber(fiber.fake_stack, &home.stack, &home.stack_bytes);
#endif
}

}  // namespace emu
