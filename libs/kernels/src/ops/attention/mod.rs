//! Attention over packed groups with a shared prefix.

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod head;
mod layout;
mod tables;

use std::sync::Arc;

use candle_core::{Result, bail};

pub(crate) use composed::all_heads;
#[cfg(feature = "cuda")]
pub(crate) use cuda::head_kernel;
pub use layout::{AttentionGroup, AttentionLayout};
pub use tables::LayoutTables;

use crate::{Activation, Backend, Context};

/// Softmax attention in which each token attends to what `layout` says: q (Q, heads · head_dim), k and v
/// (N, kv_heads · head_dim), result as q. Consecutive query heads share a key head; Q is N where all tokens have a
/// query.
///
/// # Errors
/// Shapes that do not fit the layout, types that differ.
pub fn attention(
    context: &Context,
    q: &Activation,
    k: &Activation,
    v: &Activation,
    head_dim: usize,
    layout: &Arc<AttentionLayout>,
) -> Result<Activation> {
    let shape = Shape::new([q, k, v], head_dim, layout)?;
    let backend = context.backend();
    let qkv = [q, k, v].map(Activation::detach);
    let result = match backend {
        Backend::Cpu => cpu::forward(qkv.each_ref(), &shape)?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => return on_gpu(context, [q, k, v], shape),
        _ => composed::forward(qkv.each_ref(), &shape)?,
    };
    let to = [q, k, v].map(Activation::node);
    let y = result.clone();
    context.record_one(&[q, k, v], &[], result, move |gradient, pass| {
        let gradients = match backend {
            Backend::Cpu => cpu::backward(qkv.each_ref(), &y, &gradient, &shape)?,
            _ => composed::backward(qkv.each_ref(), &gradient, &shape)?,
        };
        to.into_iter().zip(gradients).try_for_each(|(to, gradient)| pass.add(to, gradient))
    })
}

/// By CUDA kernels, whose backward pass needs more of the forward than its result.
#[cfg(feature = "cuda")]
fn on_gpu(context: &Context, inputs: [&Activation; 3], shape: Shape) -> Result<Activation> {
    let qkv = inputs.map(Activation::detach);
    let [result, lse] = cuda::forward(qkv.each_ref(), &shape)?;
    let to = inputs.map(Activation::node);
    let y = result.clone();
    context.record_one(&inputs, &[], result, move |gradient, pass| {
        let gradients = cuda::backward(qkv.each_ref(), [&y, &lse], &gradient, &shape)?;
        to.into_iter().zip(gradients).try_for_each(|(to, gradient)| pass.add(to, gradient))
    })
}

/// The layout and the sizes of the heads.
struct Shape {
    layout: Arc<AttentionLayout>,
    head_dim: usize,
    n_kv_heads: usize,
    /// Query heads that share a key head.
    repeats: usize,
}

impl Shape {
    fn new(
        [q, k, v]: [&Activation; 3],
        head_dim: usize,
        layout: &Arc<AttentionLayout>,
    ) -> Result<Self> {
        let (n_queries, q_width) = q.dims2()?;
        let (n, kv_width) = k.dims2()?;
        let n_kv_heads = kv_width / head_dim.max(1);
        let fits = n_kv_heads > 0
            && kv_width == n_kv_heads * head_dim
            && q_width.is_multiple_of(kv_width)
            && v.dims2()? == (n, kv_width)
            && [k.dtype(), v.dtype()] == [q.dtype(); 2];
        let expected_queries = layout.n_queries();
        let expected = layout.n_tokens();
        if !fits || (expected_queries, expected) != (n_queries, n) {
            let shapes = format!("q is ({n_queries}, {q_width}), k is ({n}, {kv_width})");
            bail!("attention: {shapes}, layout has {expected_queries} queries, {expected} tokens")
        }
        Ok(Self { layout: layout.clone(), head_dim, n_kv_heads, repeats: q_width / kv_width })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::Tape;
    use crate::testing::{check, random};

    #[track_caller]
    fn check_layout(groups: Vec<AttentionGroup>, n_heads: usize, n_kv_heads: usize) {
        let layout = Arc::new(AttentionLayout::new(groups));
        let n = layout.n_tokens();
        let n_queries = layout.n_queries();
        let head_dim = 6;
        let inputs = [
            random((n_queries, n_heads * head_dim), 0),
            random((n, n_kv_heads * head_dim), 1),
            random((n, n_kv_heads * head_dim), 2),
        ];
        let shape = Shape::new(
            inputs.each_ref().map(|t| Activation::untracked(t.clone())).each_ref(),
            head_dim,
            &layout,
        );
        let shape = shape.unwrap();
        check(
            &inputs,
            &[],
            |context, x, _| attention(context, &x[0], &x[1], &x[2], head_dim, &layout),
            |t| composed::forward([&t[0], &t[1], &t[2]], &shape),
        );
    }

    fn group(prefix: usize, suffixes: &[usize], causal: bool) -> AttentionGroup {
        AttentionGroup { prefix, suffixes: suffixes.to_vec(), causal, first_query: 0 }
    }

    #[test]
    fn queries_of_the_last_tokens_alone_see_all_keys() {
        let first = AttentionGroup { first_query: 69, ..group(70, &[50, 90, 3], true) };
        let second = AttentionGroup { first_query: 4, ..group(5, &[], true) };
        check_layout(vec![first, second.clone()], 4, 2);
        let none = AttentionGroup { first_query: 5, ..second.clone() };
        check_layout(vec![second, none], 2, 1);
    }

    #[test]
    fn causal() {
        check_layout(vec![group(9, &[], true)], 2, 2)
    }

    #[test]
    fn full_within_each_image() {
        check_layout(vec![group(70, &[], false), group(5, &[], false)], 2, 2)
    }

    #[test]
    fn suffixes_share_a_prefix_and_query_heads_share_keys() {
        check_layout(vec![group(7, &[3, 1, 4], true), group(2, &[5, 0, 2], true)], 4, 2)
    }

    #[test]
    fn blocks_cross_the_borders_of_suffixes() {
        check_layout(vec![group(70, &[50, 90, 3], true)], 3, 1)
    }

    /// Odd numbers of keys, values and gradients against those of f32 at the same, rounded, inputs.
    #[test]
    fn bfloat16_is_near() {
        let group = group(131, &[3, 30, 7], true);
        let layout = Arc::new(AttentionLayout::new(vec![group]));
        let n = layout.n_tokens();
        let head_dim = 8;
        let shapes = [4, 2, 2].map(|heads| (n, heads * head_dim));
        let run = |dtype: DType| {
            let tape = Tape::new();
            let context = Context::new(&Device::Cpu);
            let inputs = [0, 1, 2].map(|i| {
                let rounded = random(shapes[i], i as u64).to_dtype(DType::BF16).unwrap();
                tape.input(&rounded.to_dtype(dtype).unwrap()).unwrap()
            });
            let [q, k, v] = &inputs;
            let y = attention(&context.training(&tape), q, k, v, head_dim, &layout).unwrap();
            let weights = random(y.dims2().unwrap(), 5).to_dtype(dtype).unwrap();
            let mut gradients = crate::Gradients::default();
            let of_inputs =
                tape.backward(&[(&y, weights)], &inputs.each_ref(), &mut gradients).unwrap();
            [vec![y.detach()], of_inputs.into_iter().flatten().collect()].concat()
        };
        for (got, expected) in run(DType::BF16).iter().zip(run(DType::F32)) {
            let got = got.to_dtype(DType::F32).unwrap();
            let largest = expected.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            let largest = largest.to_scalar::<f32>().unwrap();
            let off = crate::testing::difference(&got, &expected) / largest;
            assert!(off < 0.02, "off by {off}");
        }
    }

    #[test]
    fn a_layout_of_another_length_is_an_error() {
        let layout = Arc::new(AttentionLayout::new(vec![group(4, &[], true)]));
        let context = Context::new(&Device::Cpu);
        let x = Activation::untracked(random((3, 6), 0));
        assert!(attention(&context, &x, &x, &x, 6, &layout).is_err());
    }
}
