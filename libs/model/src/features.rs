//! A cache of image features.
//!
//! A few dozen images come in one prompt after the other, and a vision tower that is not trained (that of a reference
//! policy, a frozen one, one beside adapters of the language model alone) computes the same features each time.

use candle_core::Tensor;
use vrft_vision::{ImageKey, Patches};

use crate::ModelError;
use crate::tensor_cache::TensorCache;

/// The features of the most recently used images, within a budget of bytes.
#[derive(Debug)]
pub(crate) struct FeatureCache(TensorCache<ImageKey>);

impl FeatureCache {
    /// Creates a cache that holds at most `max_bytes` of features; 0 disables it.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self(TensorCache::new(max_bytes))
    }

    /// Features of images, each (tokens of all images, hidden_size) in the images' order. `encode` computes the features of those that are not
    /// in the cache, all at once; `n_tokens` says how many rows an image has.
    pub(crate) fn features(
        &self,
        images: &[&Patches],
        n_tokens: &dyn Fn(&Patches) -> usize,
        encode: impl Fn(&[&Patches]) -> Result<Vec<Tensor>, ModelError>,
    ) -> Result<Vec<Tensor>, ModelError> {
        if !self.is_on() {
            return encode(images);
        }
        let keys: Vec<ImageKey> = images.iter().map(|image| image.key()).collect();
        let mut found: Vec<Option<Vec<Tensor>>> = keys.iter().map(|key| self.0.get(key)).collect();
        let missing: Vec<usize> = (0..images.len()).filter(|i| found[*i].is_none()).collect();
        if !missing.is_empty() {
            let new: Vec<&Patches> = missing.iter().map(|i| images[*i]).collect();
            let encoded = encode(&new)?;
            let mut start = 0;
            for i in missing {
                let n = n_tokens(images[i]);
                // A copy, or it would keep those of the other images alive.
                let own = |features: &Tensor| features.narrow(0, start, n)?.copy();
                let features = encoded.iter().map(own).collect::<Result<Vec<Tensor>, _>>()?;
                self.0.insert(keys[i], features.clone());
                found[i] = Some(features);
                start += n;
            }
        }
        let mut found = found.into_iter().flatten();
        let Some(first) = found.next() else { return encode(images) };
        let mut of_images: Vec<Vec<Tensor>> = first.into_iter().map(|it| vec![it]).collect();
        for features in found {
            of_images.iter_mut().zip(features).for_each(|(all, own)| all.push(own));
        }
        let joined = |all: Vec<Tensor>| match &all[..] {
            [one] => Ok(one.clone()),
            all => Ok(Tensor::cat(all, 0)?),
        };
        of_images.into_iter().map(joined).collect()
    }

    /// Whether anything is kept.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_on()
    }

    /// Forgets everything and stays off: the tower has changed, and will again.
    pub(crate) fn turn_off(&self) {
        self.0.turn_off();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use candle_core::Device;
    use vrft_vision::Grid;

    use super::*;

    fn image(value: f32) -> Patches {
        Patches::whole(vec![value; 4], Grid { t: 1, h: 2, w: 2 })
    }

    /// Two kinds of features, of each one row of two values per image: 16 bytes.
    fn ask(cache: &FeatureCache, values: &[f32], encoded: &RefCell<Vec<f32>>) -> Vec<f32> {
        let images: Vec<Patches> = values.iter().map(|value| image(*value)).collect();
        let encode = |images: &[&Patches]| {
            let values: Vec<f32> = images.iter().map(|image| image.pixels[0]).collect();
            encoded.borrow_mut().extend(&values);
            let rows: Vec<f32> = values.iter().flat_map(|value| [*value; 2]).collect();
            let first = Tensor::from_vec(rows, (values.len(), 2), &Device::Cpu)?;
            // What is added later in the model belongs to the same images.
            let second = (&first * 10.0)?;
            Ok(vec![first, second])
        };
        let images: Vec<&Patches> = images.iter().collect();
        let features = cache.features(&images, &|_| 1, encode).unwrap();
        let column = |features: &Tensor| -> Vec<f32> {
            features.narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let [first, second] = &features[..] else { panic!("two kinds of features") };
        let tenfold: Vec<f32> = column(first).iter().map(|value| value * 10.0).collect();
        assert_eq!(column(second), tenfold);
        column(first)
    }

    #[test]
    fn an_image_is_encoded_once_and_the_order_is_kept() {
        let cache = FeatureCache::new(100);
        let encoded = RefCell::default();
        assert_eq!(ask(&cache, &[1., 2.], &encoded), [1., 2.]);
        assert_eq!(ask(&cache, &[3., 2., 1.], &encoded), [3., 2., 1.]);
        assert_eq!(*encoded.borrow(), [1., 2., 3.]);
    }

    #[test]
    fn a_cache_that_is_off_encodes_every_time() {
        let cache = FeatureCache::new(100);
        let encoded = RefCell::default();
        ask(&cache, &[1.], &encoded);
        cache.turn_off();
        ask(&cache, &[1.], &encoded);
        ask(&cache, &[1.], &encoded);
        assert_eq!(*encoded.borrow(), [1., 1., 1.]);
    }
}
