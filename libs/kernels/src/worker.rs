//! Where a computation should run that is made of many small parallel loops.

use candle_core::Device;

use crate::path::is_fused;

/// Runs `f` on a thread of the pool that the loops of this crate share.
///
/// A thread outside the pool hands every loop over, sleeps, and is woken up when it is done: twice the time of a
/// small loop, and a step has thousands of them. Within the pool a loop starts where it is called.
pub fn on_worker<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    // What is composed of candle's operations on this thread is to be so all the way, and has no loops of ours.
    match is_fused(&Device::Cpu) {
        true => rayon::scope(|_| f()),
        false => f(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_caller_waits_on_a_thread_of_the_pool() {
        assert!(rayon::current_thread_index().is_none());
        assert!(super::on_worker(rayon::current_thread_index).is_some());
    }
}
