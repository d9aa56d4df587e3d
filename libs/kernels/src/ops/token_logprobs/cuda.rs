//! On an NVIDIA GPU, a chunk of rows at a time: logits in f32 by cuBLAS, the rest by the kernels in `cuda.cu`.

use candle_core::{CudaDevice, DType, Result, Tensor};

use super::Question;
use crate::autograd::BackwardPass;
use crate::cuda::{
    Matrix, Module, Product, address, blocks, empty, from_address, name_of, none, number, product,
    size, upload,
};

const KERNELS: Module = Module {
    name: "token_logprobs",
    ptx: include_str!(concat!(env!("OUT_DIR"), "/token_logprobs.ptx")),
};

/// Logits that exist at once: 512 MiB, enough rows for a product that keeps a large GPU busy.
const LOGITS_PER_CHUNK: usize = 1 << 27;
const THREADS: usize = 512;

/// What all chunks have in common.
struct Chunks<'a> {
    device: &'a CudaDevice,
    hidden: &'a Tensor,
    head: Tensor,
    targets: Tensor,
    inverse: f64,
}

/// Logprob and entropy of each token, (N,) each.
pub(super) fn forward(hidden: &Tensor, question: &Question) -> Result<[Tensor; 2]> {
    let chunks = Chunks::new(hidden, question)?;
    let n = question.targets.len();
    let results = [(), ()].map(|()| empty(n, DType::F32, chunks.device));
    let [logprobs, entropy] = results;
    let logprobs = logprobs?;
    let entropy = entropy?;
    chunks.for_each(|start, logits| {
        let (rows, vocab_size) = logits.dims2()?;
        let arguments = [
            address(logits)?,
            from_address(&chunks.targets, start)?,
            from_address(&logprobs, start)?,
            from_address(&entropy, start)?,
            size(vocab_size)?,
            number(chunks.inverse),
        ];
        KERNELS.launch(chunks.device, "token_logprobs_forward", blocks(rows, THREADS), &arguments)
    })?;
    Ok([logprobs, entropy])
}

/// The gradient of the hidden states; adds that of the head to the pass.
pub(super) fn backward(
    hidden: &Tensor,
    question: &Question,
    [of_logprobs, of_entropy]: [Option<Tensor>; 2],
    pass: &mut BackwardPass,
) -> Result<Tensor> {
    let chunks = Chunks::new(hidden, question)?;
    let (n, width) = hidden.dims2()?;
    let of_logprobs = match of_logprobs {
        Some(gradient) => gradient,
        None => Tensor::zeros(n, DType::F32, hidden.device())?,
    };
    let of_hidden = empty((n, width), hidden.dtype(), chunks.device)?;
    let of_head = pass.sum_of(&question.head)?;
    let kernel = format!("token_logprobs_backward_{}", name_of(hidden.dtype())?);
    chunks.for_each(|start, logits| {
        let (rows, vocab_size) = logits.dims2()?;
        let of_logits = empty((rows, vocab_size), hidden.dtype(), chunks.device)?;
        let entropy = of_entropy.as_ref().map(|gradient| from_address(gradient, start));
        let arguments = [
            address(logits)?,
            from_address(&chunks.targets, start)?,
            from_address(&of_logprobs, start)?,
            entropy.unwrap_or_else(|| Ok(none()))?,
            address(&of_logits)?,
            size(vocab_size)?,
            number(chunks.inverse),
        ];
        KERNELS.launch(chunks.device, &kernel, blocks(rows, THREADS), &arguments)?;
        let a = Matrix::whole(&of_logits)?;
        let to = Matrix::rows(&of_hidden, width, start, rows);
        let b = Matrix::whole(&chunks.head)?;
        product(chunks.device, &Product { a, b, to, adds: false, scale: 1.0 })?;
        let Some(sum) = &of_head else { return Ok(()) };
        let b = Matrix::rows(hidden, width, start, rows);
        let to = Matrix::rows(sum, width, 0, vocab_size);
        product(chunks.device, &Product { a: a.t(), b, to, adds: true, scale: 1.0 })
    })?;
    Ok(of_hidden)
}

impl<'a> Chunks<'a> {
    fn new(hidden: &'a Tensor, question: &Question) -> Result<Self> {
        let device = hidden.device().as_cuda_device()?;
        Ok(Self {
            device,
            hidden,
            head: crate::ops::cast(question.head.tensor()?, hidden.dtype())?,
            targets: upload(&question.targets, device)?,
            inverse: 1.0 / question.temperature,
        })
    }

    /// Calls `f` with the first row of each chunk and its logits, (rows, V) f32.
    fn for_each(&self, mut f: impl FnMut(usize, &Tensor) -> Result<()>) -> Result<()> {
        let (n, width) = self.hidden.dims2()?;
        let vocab_size = self.head.dim(0)?;
        let rows_per_chunk = (LOGITS_PER_CHUNK / vocab_size).max(1);
        for start in (0..n).step_by(rows_per_chunk) {
            let rows = rows_per_chunk.min(n - start);
            let logits = empty((rows, vocab_size), DType::F32, self.device)?;
            let a = Matrix::rows(self.hidden, width, start, rows);
            let b = Matrix::whole(&self.head)?.t();
            product(
                self.device,
                &Product { a, b, to: Matrix::whole(&logits)?, adds: false, scale: 1.0 },
            )?;
            f(start, &logits)?;
        }
        Ok(())
    }
}
