//! What the program does: one file per step, plus driver and worker.
