/* Threads that share a piece of work, one piece at a time. */
#ifndef MLX_SPEAK_POOL_H
#define MLX_SPEAK_POOL_H

/* Does `count` units of the work, from the `first` on. */
typedef void part_of(const void *work, int first, int count);

/* Have that many threads, the caller among them; to be called before any work is shared. */
void set_threads(int count);
int get_threads(void);

/* Do `length` units in parts of `size`, on all threads. */
void share(part_of *part, const void *work, int length, int size);

#endif
