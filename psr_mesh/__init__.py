"""Objects from prompts: a volume that a distillation method moves, and how it becomes an asset of the simulator."""
