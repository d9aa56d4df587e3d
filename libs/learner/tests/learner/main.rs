//! The learner on the tiny checkpoint: its steps, its checkpoints, and what happens when one of them breaks.

mod checkpoints;
mod damage;
mod fixture;
mod resume;
mod sampler;
mod steps;
