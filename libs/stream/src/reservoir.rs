//! A fixed number of items, drawn evenly from all that ever came.

use rand::Rng;

/// Every item that was offered has the same chance to be in it: "Algorithm R", Vitter 1985.
#[derive(Debug, Clone)]
pub struct Reservoir<T> {
    items: Vec<T>,
    capacity: usize,
    n_offered: u64,
}

impl<T> Reservoir<T> {
    /// Creates a reservoir that holds at most `capacity` frames.
    pub fn new(capacity: usize) -> Self {
        Self { items: Vec::new(), capacity, n_offered: 0 }
    }

    /// Takes an item in, or does not; what had to leave is returned.
    pub fn offer(&mut self, item: T, rng: &mut impl Rng) -> Option<T> {
        self.n_offered += 1;
        if self.items.len() < self.capacity {
            self.items.push(item);
            return None;
        }
        let place = rng.random_range(0..self.n_offered);
        match usize::try_from(place).ok().and_then(|place| self.items.get_mut(place)) {
            Some(old) => Some(std::mem::replace(old, item)),
            None => Some(item),
        }
    }

    /// All of them, in no order that means anything.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// Removes what is not to be there.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.items.retain(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn early_and_late_are_equally_likely() {
        let mut counts = [0; 40];
        for seed in 0..2000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut reservoir = Reservoir::new(8);
            let offered = (0..40).map(|n| reservoir.offer(n, &mut rng)).count();
            assert_eq!(offered, 40);
            assert_eq!(reservoir.items().len(), 8);
            reservoir.items().iter().for_each(|&n: &usize| counts[n] += 1);
        }
        // 400 expected, standard deviation 18.
        assert!(counts.iter().all(|&n| (320..480).contains(&n)), "{counts:?}");
    }

    #[test]
    fn what_leaves_is_handed_out() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut reservoir = Reservoir::new(1);
        assert_eq!(reservoir.offer('a', &mut rng), None);
        assert!(matches!(reservoir.offer('b', &mut rng), Some('a' | 'b')));
    }
}
