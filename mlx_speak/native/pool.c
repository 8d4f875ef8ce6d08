/* Each thread takes the next part of the work at hand when it has done one, the caller too: a
 * thread that gets no core takes no part, and nobody waits for it. OpenBLAS's own threads have equal
 * shares and wait for each other many times a product, each time for a time slice if another process
 * has the core: on a busy machine it is then several times slower than with one thread.
 *
 * One piece of work at a time; a second caller does its own alone. After a fork there are no
 * workers, and the caller does all. */
#define _GNU_SOURCE
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Nanoseconds for which a thread looks out for what comes next before it sleeps: to be woken takes
 * about as long, and a decoder's products follow one another within them. */
enum { LOOK_OUT = 50000 };

static int threads = 1;

static struct {
  pthread_mutex_t owner, mutex;
  pthread_cond_t start, done;
  part_of *run;
  const void *work;
  int length, size, open; /* open to workers */
  atomic_int active;      /* workers at it */
  atomic_ulong number;
  atomic_int next;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER,
          .mutex = PTHREAD_MUTEX_INITIALIZER,
          .start = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

void set_threads(int count) { threads = count; }

int get_threads(void) { return threads; }

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void rest(void) {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int is_new(unsigned long seen) { return atomic_load(&pool.number) != seen; }

static int is_done(unsigned long unused) {
  (void)unused;
  return atomic_load(&pool.active) == 0;
}

static void look_out(int (*for_what)(unsigned long), unsigned long seen) {
  for (int64_t until = nanoseconds() + LOOK_OUT; !for_what(seen) && nanoseconds() < until;) rest();
}

static void take_parts(void) {
  for (int i; (i = atomic_fetch_add(&pool.next, pool.size)) < pool.length;)
    pool.run(pool.work, i, pool.length - i < pool.size ? pool.length - i : pool.size);
}

static void *worker(void *unused) {
  (void)unused;
  for (unsigned long seen = 0;;) {
    look_out(is_new, seen);
    pthread_mutex_lock(&pool.mutex);
    while (!pool.open || !is_new(seen)) pthread_cond_wait(&pool.start, &pool.mutex);
    seen = pool.number;
    pool.active++;
    pthread_mutex_unlock(&pool.mutex);
    take_parts();
    pthread_mutex_lock(&pool.mutex);
    if (--pool.active == 0) pthread_cond_signal(&pool.done);
    pthread_mutex_unlock(&pool.mutex);
  }
  return NULL;
}

static void start_workers(void) {
  for (int i = 1; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, worker, NULL) == 0) pthread_detach(thread);
  }
}

void share(part_of *run, const void *work, int length, int size) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (threads < 2 || size >= length || pthread_mutex_trylock(&pool.owner)) {
    run(work, 0, length);
    return;
  }
  pthread_once(&once, start_workers);
  pthread_mutex_lock(&pool.mutex);
  pool.run = run;
  pool.work = work;
  pool.length = length;
  pool.size = size;
  pool.next = 0;
  pool.open = 1;
  pool.number++;
  pthread_cond_broadcast(&pool.start);
  pthread_mutex_unlock(&pool.mutex);
  take_parts();
  pthread_mutex_lock(&pool.mutex);
  pool.open = 0; /* who wakes only now must not see the next piece half written */
  pthread_mutex_unlock(&pool.mutex);
  look_out(is_done, 0);
  pthread_mutex_lock(&pool.mutex);
  while (pool.active) pthread_cond_wait(&pool.done, &pool.mutex);
  pthread_mutex_unlock(&pool.mutex);
  pthread_mutex_unlock(&pool.owner);
}
