//! Where a computation should run that is made of many small parallel loops.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;

use crate::path::{is_fused, not_decoding};

/// Threads that stay awake for a caller; the rest of a large pool sleeps between loops as usual.
const AWAKE: usize = 8;

/// Runs `f` on a thread of the pool that the loops of this crate share, and keeps others awake for it.
///
/// A thread outside the pool hands every loop over, sleeps, and is woken up when it is done: twice the time of a
/// small loop, and a step has thousands of them. Within the pool a loop starts where it is called. A thread that
/// found nothing to do for some microseconds would sleep likewise.
pub fn on_worker<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    // What is composed of candle's operations on this thread is to be so all the way, and has no loops of ours.
    match is_fused(&Device::Cpu) {
        true => rayon::scope(|_| {
            let _helpers = Helpers::call();
            not_decoding(f)
        }),
        false => f(),
    }
}

thread_local! {
    /// Whether this thread runs what was given to [`on_worker`], and so must come back to it.
    static IS_CALLER: Cell<bool> = const { Cell::new(false) };
}

/// The threads that stay awake for as long as it lives.
struct Helpers {
    done: Arc<AtomicBool>,
    /// Whether the thread was a caller before.
    was_caller: bool,
}

impl Helpers {
    fn call() -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        // Nobody waits for them: one that is busy until later finds that it is not needed any more.
        rayon::spawn_broadcast(move |worker| {
            if worker.index() < AWAKE && !IS_CALLER.get() {
                look_for_work(&is_done);
            }
        });
        Self { done, was_caller: IS_CALLER.replace(true) }
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        IS_CALLER.set(self.was_caller);
    }
}

/// Takes what work there is until the caller is done, without falling asleep in between.
fn look_for_work(is_done: &AtomicBool) {
    while !is_done.load(Ordering::Relaxed) {
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            // Whoever else needs this core gets it.
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn the_caller_waits_on_a_thread_of_the_pool() {
        assert!(rayon::current_thread_index().is_none());
        assert!(on_worker(rayon::current_thread_index).is_some());
    }

    #[test]
    fn many_callers_at_once_all_come_back() {
        let sum = || (0..1000u64).into_par_iter().map(|i| i * i % 7).sum::<u64>();
        let expected = sum();
        std::thread::scope(|scope| {
            for _ in 0..3 * rayon::current_num_threads() {
                let caller = move || {
                    for _ in 0..200 {
                        assert_eq!(on_worker(|| on_worker(sum)), expected);
                    }
                };
                scope.spawn(caller);
            }
        });
    }

    #[test]
    fn a_caller_that_panics_lets_its_helpers_go() {
        let was_caller = on_worker(|| {
            let panics = || on_worker(|| panic!("on purpose"));
            assert!(std::panic::catch_unwind(panics).is_err());
            IS_CALLER.get()
        });
        assert!(was_caller, "the outer caller is one still");
        assert_eq!(on_worker(|| rayon::join(|| 1, || 2)), (1, 2));
    }
}
