//! Where a computation should run that is made of many small parallel loops.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;

use crate::path::is_fused;

/// Runs `f` on a thread of the pool that the loops of this crate share.
///
/// A thread outside the pool hands every loop over, sleeps, and is woken up when it is done: twice the time of a
/// small loop, and a step has thousands of them. Within the pool a loop starts where it is called.
pub fn on_worker<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    // What is composed of candle's operations on this thread is to be so all the way, and has no loops of ours.
    match is_fused(&Device::Cpu) {
        true => rayon::scope(|scope| {
            let done = Arc::new(AtomicBool::new(false));
            let _done = SetOnDrop(done.clone());
            let caller = rayon::current_thread_index();
            scope.spawn_broadcast(move |_, worker| {
                if Some(worker.index()) != caller && !IS_CALLER.get() {
                    look_for_work(&done);
                }
            });
            let outer = IS_CALLER.replace(true);
            let result = f();
            IS_CALLER.set(outer);
            result
        }),
        false => f(),
    }
}

thread_local! {
    /// Whether this thread runs what was given to [`on_worker`], and so must come back to it.
    static IS_CALLER: Cell<bool> = const { Cell::new(false) };
}

/// Takes what work there is until the caller is done, without falling asleep in between: to be woken up takes longer
/// than a small loop.
fn look_for_work(done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            // Whoever else needs this core gets it.
            std::thread::yield_now();
        }
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
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
