/* What can be called from without; everything else is the library's own. */
#ifndef MLX_SPEAK_LIBRARY_H
#define MLX_SPEAK_LIBRARY_H
#define PUBLIC __attribute__((visibility("default")))
#endif
