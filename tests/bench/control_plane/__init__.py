"""What the control plane spends per pod, whoever allocates: one run, its figures, and how they are shown."""
