"""Training of the autoencoder and the denoiser on Hugging Face Accelerate."""
