/* A layer of a pre-norm decoder. */
#ifndef MLX_SPEAK_DECODER_H
#define MLX_SPEAK_DECODER_H
#include "projection.h"

typedef struct {
  norm attention_norm;
  linear query_key_value, output;
  norm feed_forward_norm;
  linear up, down;
} layer;

#endif
