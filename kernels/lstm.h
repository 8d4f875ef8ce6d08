// The functions of an LSTM's gates.

// The exponent is kept finite, so that fast arithmetic sees no infinity.
METAL_FUNC float sigmoid(float x) { return 1.0f / (1.0f + metal::exp(metal::min(-x, 80.0f))); }

// Within 2e-7 of it, and one for large numbers, where Metal's own may overflow.
METAL_FUNC float tanh_of(float x) { return 2.0f * sigmoid(2.0f * x) - 1.0f; }
