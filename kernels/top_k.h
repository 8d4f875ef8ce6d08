// What both stages of top-k share: the best k of at most PART numbers, which a threadgroup holds in
// registers as keys, KEYS to a thread and all of them different. A key grows with the number, and
// among equals with the distance from the end, so that the first wins. Selection goes by the keys'
// bits, from the highest on, and takes as many steps whatever k is.
#define NO_INDEX 0xffffffffu

// PART is a power of two; a key has 32 bits for the number and the bits of a position.
template <int PART>
METAL_FUNC uint64_t key_of(float value, int position) {
  const uint bits = as_type<uint>(value == 0.0f ? 0.0f : value);  // -0 is 0
  const uint order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t(metal::max(order, 1u)) * PART + uint(PART - 1 - position);
}

// Lower than those of all numbers, for positions where there is none.
template <int PART>
METAL_FUNC uint64_t key_of_none(int position) {
  return uint64_t(PART - 1 - position);
}

template <int PART>
METAL_FUNC bool is_none(uint64_t key) {
  return key < uint64_t(PART);
}

template <int PART>
METAL_FUNC int position_of(uint64_t key) {
  return PART - 1 - int(key % PART);
}

// The least of the best k keys: the highest number that k keys are not below.
//   counts: threadgroup memory for two numbers of each SIMD group, used in turn, so that one
//   barrier a step is enough
template <int PART, int KEYS, int GROUPS, typename Counts>
METAL_FUNC uint64_t least_of_best(thread const uint64_t (&keys)[KEYS], uint k, Counts counts,
                                  uint lane, uint group) {
  uint64_t least = 0;
  int turn = 0;
  for (uint64_t bit = uint64_t(PART) << 31; bit > 0; bit >>= 1) {
    uint count = 0;
    for (int i = 0; i < KEYS; ++i) {
      count += keys[i] >= (least | bit) ? 1u : 0u;
    }
    count = simd_sum(count);
    if (lane == 0) {
      counts[turn * GROUPS + group] = count;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    count = 0;
    for (int other = 0; other < GROUPS; ++other) {
      count += counts[turn * GROUPS + other];
    }
    if (count >= k) {
      least |= bit;
    }
    if (count == k) {  // the same for all threads
      break;
    }
    turn = 1 - turn;
  }
  return least;
}

// Bring the best k keys together, and give the first k threads each its own, and how many are
// better.
//   counts: as above; totals: one number of each SIMD group; best: k keys
template <int PART, int KEYS, int GROUPS, typename Counts, typename Totals, typename Best>
METAL_FUNC void rank_best(thread const uint64_t (&keys)[KEYS], uint k, Counts counts, Totals totals,
                          Best best, uint lane, uint group, thread uint64_t& key,
                          thread uint& rank) {
  const uint64_t least = least_of_best<PART, KEYS, GROUPS>(keys, k, counts, lane, group);
  uint own = 0;
  for (int i = 0; i < KEYS; ++i) {
    own += keys[i] >= least ? 1u : 0u;
  }
  uint at = simd_prefix_exclusive_sum(own);
  if (lane == 31) {
    totals[group] = at + own;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint other = 0; other < group; ++other) {
    at += totals[other];
  }
  for (int i = 0; i < KEYS; ++i) {
    if (keys[i] >= least) {
      best[at++] = keys[i];
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  key = 0;
  rank = 0;
  const uint index = group * 32 + lane;
  if (index < k) {
    key = best[index];
    for (uint other = 0; other < k; ++other) {
      rank += best[other] > key ? 1u : 0u;
    }
  }
}
