//! Logits of a mask at another size, as torch's bilinear `interpolate` (corners not aligned) makes them.

/// A plane of numbers, row by row.
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) values: Vec<f32>,
}

/// The two numbers that one of the result lies between, and the share of the second.
struct Between {
    low: usize,
    high: usize,
    share: f32,
}

impl Plane {
    /// Of the first `width` columns and `height` rows, a plane of `to_width` × `to_height`.
    pub(crate) fn scaled(
        &self,
        (width, height): (usize, usize),
        (to_width, to_height): (usize, usize),
    ) -> Self {
        let (columns, rows) = (between(width, to_width), between(height, to_height));
        let mut values = Vec::with_capacity(to_width * to_height);
        for row in &rows {
            let line = |y: usize| &self.values[y * self.width..][..width];
            let (low, high) = (line(row.low), line(row.high));
            for column in &columns {
                let mix = |line: &[f32]| {
                    (1.0 - column.share) * line[column.low] + column.share * line[column.high]
                };
                values.push((1.0 - row.share) * mix(low) + row.share * mix(high));
            }
        }
        Self { width: to_width, values }
    }
}

fn between(from: usize, to: usize) -> Vec<Between> {
    let scale = from as f32 / to as f32;
    let of = |n: usize| {
        let place = (scale * (n as f32 + 0.5) - 0.5).max(0.0);
        let low = (place as usize).min(from - 1);
        Between { low, high: (low + 1).min(from - 1), share: (place - low as f32).clamp(0.0, 1.0) }
    };
    (0..to).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /* torch.nn.functional.interpolate(torch.tensor([[[[0., 1.], [2., 3.]]]]), (3, 4), mode="bilinear") */
    #[test]
    fn as_torch_does() {
        let plane = Plane { width: 3, values: vec![0.0, 1.0, 9.0, 2.0, 3.0, 9.0] };
        let scaled = plane.scaled((2, 2), (4, 3));
        let expected = [0.0, 0.25, 0.75, 1.0, 1.0, 1.25, 1.75, 2.0, 2.0, 2.25, 2.75, 3.0];
        for (got, expected) in scaled.values.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{:?}", scaled.values);
        }
    }
}
