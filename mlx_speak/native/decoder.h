/* A layer of a pre-norm decoder, and what it attends to. */
#ifndef MLX_SPEAK_DECODER_H
#define MLX_SPEAK_DECODER_H
#include "projection.h"

typedef struct {
  norm attention_norm;
  linear query_key_value, output;
  norm source_norm; /* of the attention to a source, if there is one */
  linear source_query, source_output;
  norm feed_forward_norm;
  linear up, down;
} layer;

typedef struct {
  const float *keys, *values; /* (heads, capacity, dims) */
} memory;

/* Tokens, and what they come after. */
typedef struct {
  int tokens, wanted;   /* of the last so many the states are asked for */
  int length, capacity; /* of `before`: tokens that are there, and that there is space for */
  const memory *before; /* each layer's */
  int source_length;
  const memory *source; /* each layer's, of that capacity, or null */
  /* Gets the tokens' keys and values, (layers, 2, heads, new_capacity, dims), from new_at on. It may
   * be where `before` is. */
  float *new;
  int new_capacity, new_at;
} passage;

#endif
