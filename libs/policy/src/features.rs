//! What a frozen vision tower made of an image, kept for the next time that the image comes.
//!
//! A few dozen images are asked about again and again, and where the tower is not trained (a reference policy, a
//! frozen tower, adapters on the language model alone) it says the same of them each time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use vision::Patches;

use crate::PolicyError;

/// BLAKE3 of an image's patches and their grid.
type Key = [u8; 32];

/// The features of the images seen last, as many as fit.
#[derive(Debug)]
pub(crate) struct FeatureCache {
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    n_bytes: usize,
    /// Counts what was looked up, so that an entry knows when it was last of use.
    clock: u64,
    /// The tower turned out to be trained: nothing is kept any more.
    is_off: bool,
}

#[derive(Debug)]
struct Entry {
    features: Tensor,
    used_at: u64,
}

impl FeatureCache {
    /// Room for so many bytes of features; 0 keeps nothing.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, state: Mutex::new(State { is_off: max_bytes == 0, ..State::default() }) }
    }

    /// (tokens of all images, hidden_size) in the images' order. `see` is asked for those that are not known, all
    /// at once; `n_tokens` says how many rows an image has.
    pub(crate) fn features(
        &self,
        images: &[&Patches],
        n_tokens: &dyn Fn(&Patches) -> usize,
        see: &dyn Fn(&[&Patches]) -> Result<Tensor, PolicyError>,
    ) -> Result<Tensor, PolicyError> {
        if !self.is_on() {
            return see(images);
        }
        let keys: Vec<Key> = images.iter().map(|image| key(image)).collect();
        let mut found: Vec<Option<Tensor>> =
            self.with(|state| keys.iter().map(|key| state.get(key)).collect());
        let missing: Vec<usize> = (0..images.len()).filter(|i| found[*i].is_none()).collect();
        if !missing.is_empty() {
            let unseen: Vec<&Patches> = missing.iter().map(|i| images[*i]).collect();
            let seen = see(&unseen)?;
            let mut start = 0;
            for i in missing {
                let n = n_tokens(images[i]);
                // A copy, or it would keep those of the other images alive.
                let features = seen.narrow(0, start, n)?.copy()?;
                self.with(|state| state.insert(keys[i], &features, self.max_bytes));
                found[i] = Some(features);
                start += n;
            }
        }
        let found: Vec<Tensor> = found.into_iter().flatten().collect();
        match &found[..] {
            [one] => Ok(one.clone()),
            all => Ok(Tensor::cat(all, 0)?),
        }
    }

    /// Whether anything is kept.
    pub(crate) fn is_on(&self) -> bool {
        self.with(|state| !state.is_off)
    }

    /// Forgets everything for good: the tower has changed, and will again.
    pub(crate) fn turn_off(&self) {
        self.with(|state| *state = State { is_off: true, ..State::default() });
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn get(&mut self, key: &Key) -> Option<Tensor> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used_at = self.clock;
        Some(entry.features.clone())
    }

    fn insert(&mut self, key: Key, features: &Tensor, max_bytes: usize) {
        let n_bytes = bytes_of(features);
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
        let entry = Entry { features: features.clone(), used_at: self.clock };
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.n_bytes -= bytes_of(&entry.features);
        }
    }
}

fn bytes_of(features: &Tensor) -> usize {
    features.elem_count() * features.dtype().size_in_bytes()
}

fn key(image: &Patches) -> Key {
    let mut hasher = blake3::Hasher::new();
    for side in [image.grid.t, image.grid.h, image.grid.w] {
        hasher.update(&(side as u64).to_le_bytes());
    }
    hasher.update_rayon(bytemuck::cast_slice(&image.pixels));
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use candle_core::Device;
    use vision::Grid;

    use super::*;

    fn image(value: f32) -> Patches {
        Patches { pixels: vec![value; 4], grid: Grid { t: 1, h: 2, w: 2 } }
    }

    /// One row of two values per image: 8 bytes.
    fn ask(cache: &FeatureCache, values: &[f32], seen: &RefCell<Vec<f32>>) -> Vec<f32> {
        let images: Vec<Patches> = values.iter().map(|value| image(*value)).collect();
        let see = |images: &[&Patches]| {
            let values: Vec<f32> = images.iter().map(|image| image.pixels[0]).collect();
            seen.borrow_mut().extend(&values);
            let rows: Vec<f32> = values.iter().flat_map(|value| [*value; 2]).collect();
            Ok(Tensor::from_vec(rows, (values.len(), 2), &Device::Cpu)?)
        };
        let images: Vec<&Patches> = images.iter().collect();
        let features = cache.features(&images, &|_| 1, &see).unwrap();
        features.narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn an_image_is_seen_once_and_the_order_is_kept() {
        let (cache, seen) = (FeatureCache::new(100), RefCell::default());
        assert_eq!(ask(&cache, &[1., 2.], &seen), [1., 2.]);
        assert_eq!(ask(&cache, &[3., 2., 1.], &seen), [3., 2., 1.]);
        assert_eq!(*seen.borrow(), [1., 2., 3.]);
    }

    #[test]
    fn the_image_that_was_not_used_for_longest_makes_room() {
        let (cache, seen) = (FeatureCache::new(16), RefCell::default());
        for value in [1., 2., 1., 3., 1., 2.] {
            ask(&cache, &[value], &seen);
        }
        assert_eq!(*seen.borrow(), [1., 2., 3., 2.]);
    }

    #[test]
    fn a_tower_that_changed_is_asked_every_time() {
        let (cache, seen) = (FeatureCache::new(100), RefCell::default());
        ask(&cache, &[1.], &seen);
        cache.turn_off();
        ask(&cache, &[1.], &seen);
        ask(&cache, &[1.], &seen);
        assert_eq!(*seen.borrow(), [1., 1., 1.]);
    }

    #[test]
    fn images_of_another_shape_are_others() {
        let wide = Patches { grid: Grid { t: 1, h: 1, w: 4 }, ..image(1.) };
        assert_ne!(key(&image(1.)), key(&wide));
    }
}
