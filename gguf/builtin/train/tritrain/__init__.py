"""Trains the model that is part of tritflow: corpus, tokenizer, network, evaluation, GGUF.

    words plots ─▶ stories facts sums talk copying ─▶ corpus ─▶ tokenizer ─▶ pack ─▶ train ─▶ export ─▶ .gguf
                                                         └────▶ evalset ─▶ evaluate (quantized) ─▶ card
"""
