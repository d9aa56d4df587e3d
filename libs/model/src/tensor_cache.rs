//! A cache of tensors that were computed once and are wanted again, within a budget of bytes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;

/// The most recently used tensors, within a budget of bytes. A key of type `K` stands for what they were computed from.
#[derive(Debug)]
pub(crate) struct TensorCache<K> {
    max_bytes: usize,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    entries: BTreeMap<K, Entry>,
    n_bytes: usize,
    /// Counts what was looked up, so that an entry knows when it was last of use.
    clock: u64,
    is_off: bool,
}

#[derive(Debug)]
struct Entry {
    tensors: Vec<Tensor>,
    used_at: u64,
}

impl<K: Copy + Ord> TensorCache<K> {
    /// Creates a cache that holds at most `max_bytes`; 0 disables it.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, state: Mutex::new(State::empty(max_bytes == 0)) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<Vec<Tensor>> {
        self.with(|state| state.get(key))
    }

    /// Keeps the tensors, which should share no memory with larger ones, if they fit at all.
    pub(crate) fn insert(&self, key: K, tensors: Vec<Tensor>) {
        self.with(|state| state.insert(key, tensors, self.max_bytes));
    }

    /// Whether tensors that take `n_bytes` would be kept.
    pub(crate) fn takes(&self, n_bytes: usize) -> bool {
        n_bytes <= self.max_bytes && self.is_on()
    }

    /// Whether anything is kept.
    pub(crate) fn is_on(&self) -> bool {
        self.with(|state| !state.is_off)
    }

    /// Removes everything from the cache.
    pub(crate) fn turn_off(&self) {
        self.with(|state| *state = State::empty(true));
    }

    fn with<R>(&self, f: impl FnOnce(&mut State<K>) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Copy + Ord> State<K> {
    fn empty(is_off: bool) -> Self {
        Self { entries: BTreeMap::new(), n_bytes: 0, clock: 0, is_off }
    }

    fn get(&mut self, key: &K) -> Option<Vec<Tensor>> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used_at = self.clock;
        Some(entry.tensors.clone())
    }

    fn insert(&mut self, key: K, tensors: Vec<Tensor>, max_bytes: usize) {
        let n_bytes = bytes_of(&tensors);
        if self.is_off || n_bytes > max_bytes {
            return;
        }
        while self.n_bytes + n_bytes > max_bytes {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.used_at) else {
                break;
            };
            let oldest = *oldest.0;
            self.remove(&oldest);
        }
        self.remove(&key);
        self.n_bytes += n_bytes;
        self.entries.insert(key, Entry { tensors, used_at: self.clock });
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.n_bytes -= bytes_of(&entry.tensors);
        }
    }
}

fn bytes_of(tensors: &[Tensor]) -> usize {
    tensors.iter().map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    /// Tensors that take 8 bytes together.
    fn tensors() -> Vec<Tensor> {
        vec![Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap(); 2]
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let cache = TensorCache::new(16);
        let ask = |i: u8| {
            let found = cache.get(&i).is_some();
            cache.insert(i, tensors());
            found
        };
        assert_eq!([1, 2, 1, 3, 1, 2].map(ask), [false, false, true, false, true, false]);
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let cache = TensorCache::new(7);
        cache.insert(0, tensors());
        assert!(cache.get(&0).is_none() && !cache.takes(8) && cache.takes(7));
    }

    #[test]
    fn off_is_off() {
        let cache = TensorCache::new(100);
        cache.insert(0, tensors());
        cache.turn_off();
        cache.insert(0, tensors());
        assert!(cache.get(&0).is_none() && !cache.is_on() && !TensorCache::<u8>::new(0).is_on());
    }
}
