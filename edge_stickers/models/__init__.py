"""The models: pure numerics, layers, the denoiser, the autoencoder, the text encoder, and the pipeline of them all."""
