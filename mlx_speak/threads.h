/* One function on several threads, for work in which each takes the next part when it has done one:
 * a thread that gets no core takes no part, and nobody waits for it long. */
#ifndef MLX_SPEAK_THREADS_H
#define MLX_SPEAK_THREADS_H
#include <pthread.h>

static inline void on_threads(int threads, void *(*run)(void *), void *argument) {
  enum { MOST = 63 };
  pthread_t others[MOST];
  int started = 0;
  while (started < threads - 1 && started < MOST &&
         pthread_create(&others[started], NULL, run, argument) == 0)
    started++;
  run(argument);
  while (started) pthread_join(others[--started], NULL);
}

#endif
