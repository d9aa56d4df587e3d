//! Against bitsandbytes, and a layer of 4 bits against the same layer of the numbers that they stand for.

use serde::Deserialize;

use super::*;
use crate::testing::random;
use crate::{Activation, Context, Gradients, Tape, Weight, linear, linear_part};

/// A matrix as `make_nf4.py` wrote it.
#[derive(Deserialize)]
struct Golden {
    shape: [usize; 2],
    dtype: String,
    double: bool,
    block: usize,
    codes: String,
    absmax: Vec<f32>,
    nested_absmax: Option<Vec<f32>>,
    nested_block: Option<usize>,
    nested_map: Option<Vec<f32>>,
    offset: Option<f32>,
    again: Vec<f32>,
    sum: f64,
}

impl Golden {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("../../../tests/golden/nf4.json")).unwrap()
    }

    fn dtype(&self) -> DType {
        if self.dtype == "bfloat16" { DType::BF16 } else { DType::F32 }
    }

    fn bytes(&self) -> Vec<u8> {
        let digits = self.codes.as_bytes().chunks_exact(2);
        digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// The matrix that it was made of.
    fn original(&self) -> Tensor {
        let values = (0..self.shape.iter().product::<usize>() as u64).map(|i| {
            let mixed = (i * 2_654_435_761 + 12_345) % (1 << 32);
            let value = (mixed >> 8) as f64 / f64::from(1 << 23) - 1.0;
            let block = i / 64;
            (value * 0.5f64.powi((block % 7) as i32) * f64::from(u8::from(block % 5 != 3))) as f32
        });
        let values = Tensor::from_vec(values.collect(), self.shape.as_slice(), &Device::Cpu);
        values.unwrap().to_dtype(self.dtype()).unwrap()
    }

    /// What bitsandbytes made of it.
    fn quantized(&self) -> Nf4Matrix {
        let of = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let factors = match (&self.nested_absmax, &self.nested_map) {
            (Some(scales), Some(map)) => Nf4Factors::Quantized {
                codes: of(&self.absmax).to_dtype(DType::U8).unwrap(),
                map: of(map),
                scales: of(scales),
                block: self.nested_block.unwrap(),
                offset: self.offset.unwrap(),
            },
            _ => Nf4Factors::Plain(of(&self.absmax)),
        };
        let codes = Tensor::new(self.bytes().as_slice(), &Device::Cpu).unwrap();
        let (dims, block) = (self.shape, self.block);
        Nf4Matrix::from_parts(Nf4Parts { dims, codes, block, factors }).unwrap()
    }
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn numbers_become_the_codes_that_bitsandbytes_gives_them() {
    for golden in Golden::all() {
        let made = quantize::quantize(&golden.original(), golden.block, golden.double).unwrap();
        let made = made.parts();
        assert_eq!(made.codes.to_vec1::<u8>().unwrap(), golden.bytes(), "{:?}", golden.shape);
        match &made.factors {
            Nf4Factors::Plain(factors) => assert_eq!(flat(factors), golden.absmax),
            Nf4Factors::Quantized { codes, map, scales, block, offset } => {
                assert_eq!(flat(codes), golden.absmax);
                assert_eq!(Some(*block), golden.nested_block);
                let near =
                    |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
                assert!(near(&flat(map), golden.nested_map.as_ref().unwrap()));
                assert!(near(&flat(scales), golden.nested_absmax.as_ref().unwrap()));
                assert!((offset - golden.offset.unwrap()).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn codes_become_the_numbers_that_bitsandbytes_makes_of_them() {
    for golden in Golden::all() {
        let matrix = golden.quantized();
        let rows = 0..golden.shape[0];
        for backend in [Backend::Cpu, Backend::Composed] {
            let again = flat(&matrix.rows(backend, rows.clone(), golden.dtype()).unwrap());
            assert_eq!(again[..golden.again.len().min(again.len())], golden.again, "{backend:?}");
            let sum: f64 = again.iter().map(|x| f64::from(*x)).sum();
            assert!((sum - golden.sum).abs() < 1e-6, "{backend:?}: {sum}, not {}", golden.sum);
        }
    }
}

#[test]
fn some_rows_are_rows_of_the_whole() {
    for (rows, columns) in [(7, 50), (5, 33), (9, 128)] {
        let matrix = Nf4Matrix::quantize(&random((rows, columns), 3), true).unwrap();
        let all = matrix.dequantize(DType::F32).unwrap();
        for backend in [Backend::Cpu, Backend::Composed] {
            let some = matrix.rows(backend, 2..5, DType::F32).unwrap();
            assert_eq!(flat(&some), flat(&all.narrow(0, 2, 3).unwrap()));
        }
    }
}

#[test]
fn a_layer_of_four_bits_computes_what_its_numbers_would() {
    let matrix = Nf4Matrix::quantize(&random((24, 96), 1), true).unwrap();
    let wide = Weight::frozen(&matrix.dequantize(DType::F32).unwrap());
    let weight = Weight::nf4(&matrix);
    let bias = Weight::frozen(&random(24, 2));
    for backend in [Backend::Cpu, Backend::Composed] {
        let context = Context::new(&Device::Cpu).with_backend(backend);
        let of = |context: &Context, x: &Activation, weight: &Weight| {
            linear_part(context, x, weight, Some(&bias), 8..20).unwrap()
        };
        let gradient_of_x = |weight: &Weight| {
            let tape = Tape::new();
            let x = tape.input(&random((5, 96), 4)).unwrap();
            let y = of(&context.training(&tape), &x, weight);
            let mut gradients = Gradients::new(backend);
            let of_inputs = tape.backward(&[(&y, random((5, 12), 5))], &[&x], &mut gradients);
            flat(of_inputs.unwrap()[0].as_ref().unwrap())
        };
        assert_eq!(gradient_of_x(&weight), gradient_of_x(&wide), "{backend:?}");
        let x = Activation::untracked(random((5, 96), 4));
        assert_eq!(
            flat(&of(&context, &x, &weight).detach()),
            flat(&of(&context, &x, &wide).detach())
        );
    }
    // While decoding, the sums of a few rows are in another order.
    let context = Context::new(&Device::Cpu).decoding();
    for (n, dtype, tolerance) in
        [(3, DType::F32, 1e-6), (3, DType::BF16, 4e-3), (40, DType::F32, 1e-6)]
    {
        let x = Activation::untracked(random((n, 96), 6).to_dtype(dtype).unwrap());
        let y = flat(&linear(&context, &x, &weight, Some(&bias)).unwrap().detach());
        let expected = flat(&linear(&context, &x, &wide, Some(&bias)).unwrap().detach());
        let largest = expected.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        let off = y.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= tolerance * largest, "{n} rows of {dtype:?}: off by {off} of {largest}");
    }
}

#[test]
fn what_reads_values_one_by_one_refuses_four_bits() {
    let weight = Weight::nf4(&Nf4Matrix::quantize(&random((4, 64), 1), false).unwrap());
    let context = Context::new(&Device::Cpu);
    let error = crate::embedding(&context, &weight, &[1], DType::F32).unwrap_err().to_string();
    assert!(error.contains("4 bits"), "{error}");
}

#[test]
fn bfloat16_is_quantized_as_the_same_numbers_in_f32() {
    let narrow = random((5, 192), 7).to_dtype(DType::BF16).unwrap();
    let of = |values: &Tensor| {
        let matrix = Nf4Matrix::quantize(values, true).unwrap();
        let codes: Vec<u8> = matrix.parts().codes.to_vec1().unwrap();
        (codes, matrix.dequantize(DType::F32).unwrap().to_vec2::<f32>().unwrap())
    };
    assert_eq!(of(&narrow), of(&narrow.to_dtype(DType::F32).unwrap()));
    let nan = Tensor::new(&[[half::bf16::NAN; 64]], &Device::Cpu).unwrap();
    assert!(Nf4Matrix::quantize(&nan, false).is_err());
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let parts = Nf4Matrix::quantize(&random((4, 64), 1), true).unwrap().parts().clone();
    let refused = |parts: Nf4Parts| Nf4Matrix::from_parts(parts).unwrap_err().to_string();
    let taller = Nf4Parts { dims: [5, 64], ..parts.clone() };
    assert!(refused(taller).contains("codes should be 160 values of U8, got [128]"));
    let odd = Nf4Parts { block: 3, ..parts.clone() };
    assert!(refused(odd).contains("even number"));
    let wide = Nf4Parts { block: 128, ..parts };
    assert!(refused(wide).contains("codes of factors should be 2 values"));
    let infinite = Tensor::new(&[[f32::INFINITY, 1.0]], &Device::Cpu).unwrap();
    assert!(Nf4Matrix::quantize(&infinite, false).is_err());
}
