//! Where a computation should run that is made of many small parallel loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Backend;

/// Threads that stay awake for a caller; the rest of a large pool sleeps between loops as usual.
const AWAKE: usize = 8;

/// How many calls of [`on_worker`] each of the pool's first threads is in the middle of, and so must come back to.
///
/// The pool is one for the whole process, and so is this. It decides which threads wait for work, never what is
/// computed.
static N_CALLS: [AtomicUsize; AWAKE] = [const { AtomicUsize::new(0) }; AWAKE];

/// Runs `f` on a thread of the pool that the loops of [`Backend::Cpu`] share, and keeps others awake for it.
///
/// A thread outside the pool hands every loop over, sleeps, and is woken up when it is done: twice the time of a
/// small loop, and a step has thousands of them. Within the pool a loop starts where it is called. A thread that
/// found nothing to do for some microseconds would sleep likewise. Other backends have no such loops: for them `f`
/// runs where it is called, and no thread is kept awake.
pub fn on_worker<R: Send>(backend: Backend, f: impl FnOnce() -> R + Send) -> R {
    match backend {
        Backend::Cpu => rayon::scope(|_| {
            let _helpers = Helpers::call();
            f()
        }),
        Backend::Cuda | Backend::Composed => f(),
    }
}

/// The threads that stay awake for as long as it lives.
struct Helpers {
    done: Arc<AtomicBool>,
    /// Counter of the calls of the caller's thread; `None` if the thread is not among the first ones.
    n_calls: Option<&'static AtomicUsize>,
}

impl Helpers {
    fn call() -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        let n_calls = n_calls_here();
        n_calls.map(|n_calls| n_calls.fetch_add(1, Ordering::Relaxed));
        // Nobody waits for them: one that is busy until later finds that it is not needed any more. A thread in the
        // middle of a call must not wait for another's: it counts its calls itself, so it reads what it wrote.
        rayon::spawn_broadcast(move |_| {
            if n_calls_here().is_some_and(|n_calls| n_calls.load(Ordering::Relaxed) == 0) {
                look_for_work(&is_done);
            }
        });
        Self { done, n_calls }
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        self.n_calls.map(|n_calls| n_calls.fetch_sub(1, Ordering::Relaxed));
    }
}

fn n_calls_here() -> Option<&'static AtomicUsize> {
    rayon::current_thread_index().and_then(|idx| N_CALLS.get(idx))
}

/// Takes what work there is until the caller is done, without falling asleep in between.
fn look_for_work(is_done: &AtomicBool) {
    while !is_done.load(Ordering::Relaxed) {
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            // Another process that needs this core gets it.
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
        assert!(on_worker(Backend::Composed, rayon::current_thread_index).is_none());
        assert!(on_worker(Backend::Cpu, rayon::current_thread_index).is_some());
    }

    #[test]
    fn many_callers_at_once_all_come_back() {
        let sum = || (0..1000u64).into_par_iter().map(|i| i * i % 7).sum::<u64>();
        let expected = sum();
        std::thread::scope(|scope| {
            for _ in 0..3 * rayon::current_num_threads() {
                let caller = move || {
                    for _ in 0..200 {
                        assert_eq!(
                            on_worker(Backend::Cpu, || on_worker(Backend::Cpu, sum)),
                            expected
                        );
                    }
                };
                scope.spawn(caller);
            }
        });
    }

    #[test]
    fn a_caller_that_panics_lets_its_helpers_go() {
        let still_is_one = on_worker(Backend::Cpu, || {
            let panics = || on_worker(Backend::Cpu, || panic!("on purpose"));
            assert!(std::panic::catch_unwind(panics).is_err());
            n_calls_here().is_none_or(|n_calls| n_calls.load(Ordering::Relaxed) == 1)
        });
        assert!(still_is_one, "the outer caller is one still");
        assert_eq!(on_worker(Backend::Cpu, || rayon::join(|| 1, || 2)), (1, 2));
    }
}
