// The ways into a compiled kernel: a C symbol for ctypes and, with EMU_PROGRAM, a program that
// reads a job from a file, since the sanitizers want a process of their own.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "executor.h"

void emu_kernel(const emu::Position&, void** buffers);  // translate.py writes it

extern "C" __attribute__((visibility("default"))) int emu_run(emu::Job* job) {
  return emu::run(*job, emu_kernel);
}

#if defined(EMU_PROGRAM)
namespace {

struct File {
  FILE* file;
  File(const char* path, const char* mode) : file(fopen(path, mode)) {
    if (!file) give_up("cannot open a job's file");
  }
  ~File() { fclose(file); }
  void read(void* into, size_t bytes) {
    if (bytes && fread(into, 1, bytes, file) != bytes) give_up("the job's file is too short");
  }
  void write(const void* from, size_t bytes) {
    if (bytes && fwrite(from, 1, bytes, file) != bytes) give_up("cannot write the results");
  }
  [[noreturn]] static void give_up(const char* why) {
    fprintf(stderr, "%s\n", why);
    exit(2);
  }
};

struct Buffer {
  void* memory;
  uint64_t bytes;
  uint32_t is_output;
};

}  // namespace

// Job file: u32 grid[3], threadgroup[3], order, threadgroup_memory_limit, poison; u64 seed;
// u32 count, then for each buffer u64 bytes, u32 is_output and its content. execute.py writes it.
int main(int count, char** paths) {
  if (count != 3) File::give_up("usage: program JOB RESULTS");
  emu::Job job{};
  char error[512] = "";
  std::vector<Buffer> buffers;
  std::vector<void*> memory;
  {
    File file(paths[1], "rb");
    file.read(job.grid, sizeof job.grid);
    file.read(job.threadgroup, sizeof job.threadgroup);
    file.read(&job.order, 4);
    file.read(&job.threadgroup_memory_limit, 4);
    file.read(&job.poison, 4);
    file.read(&job.seed, 8);
    uint32_t length = 0;
    file.read(&length, 4);
    for (uint32_t i = 0; i < length; ++i) {
      Buffer buffer{};
      file.read(&buffer.bytes, 8);
      file.read(&buffer.is_output, 4);
      buffer.memory = malloc(buffer.bytes);  // of the exact size: the redzones begin behind it
      file.read(buffer.memory, buffer.bytes);
      buffers.push_back(buffer);
      memory.push_back(buffer.memory);
    }
  }
  job.buffers = memory.data();
  job.error = error;
  job.error_bytes = sizeof error;
  if (emu_run(&job)) {
    fprintf(stderr, "metal_emu: %s\n", error);
    fflush(stderr);
    _Exit(3);  // without the sanitizers' checks at exit: fibers were left in the middle
  }
  File file(paths[2], "wb");
  for (const Buffer& buffer : buffers) {
    if (buffer.is_output) file.write(buffer.memory, buffer.bytes);
    free(buffer.memory);
  }
  return 0;
}
#endif
