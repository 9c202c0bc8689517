"""Score distillation: a diffusion prior steers the parameters of anything that can be differentiated."""
