//! What an operation is given besides its operands: where it computes, by which implementation, and what for.

use candle_core::Device;

use crate::autograd::Tape;
use crate::{Activation, Weight};

/// Which implementation of an operation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// The fused CPU implementation, in f32 and bfloat16.
    #[default]
    Cpu,
    /// CUDA kernels where an operation has one, [`Backend::Composed`] where it has none yet.
    Cuda,
    /// Composed of candle's own operations: slower, on every device, and the reference for the others.
    Composed,
}

impl Backend {
    /// The fastest one for a device.
    pub fn of(device: &Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda(_) => Self::Cuda,
            Device::Metal(_) => Self::Composed,
        }
    }
}

/// Opens an NVIDIA GPU. Everything on it is computed in order on one stream, whichever thread asks for it.
///
/// # Errors
/// No such GPU, no driver, or a program that was built without the feature `cuda`.
pub fn open_cuda(ordinal: usize) -> candle_core::Result<Device> {
    #[cfg(feature = "cuda")]
    return crate::cuda::open(ordinal);
    #[cfg(not(feature = "cuda"))]
    Device::new_cuda(ordinal)
}

/// What a forward pass is for.
#[derive(Debug, Clone, Copy)]
enum Mode<'t> {
    /// Inference: results without gradients.
    Inference,
    /// Inference of one token per row.
    Decoding,
    /// Results with gradients: each operation is recorded on the tape.
    Training(&'t Tape),
}

/// The context of a computation: the device, the [`Backend`], and whether it is inference, decoding or training.
///
/// Every operation takes one as its first argument. Nothing else decides how or what it computes, so two threads that
/// compute at the same time never see each other's mode.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vrft_kernels::{Activation, Context, Gradients, Tape, Weight, linear};
///
/// # fn main() -> candle_core::Result<()> {
/// let device = Device::Cpu;
/// let x = Activation::constant(&Tensor::ones((4, 3), candle_core::DType::F32, &device)?)?;
/// let variable = candle_core::Var::ones((2, 3), candle_core::DType::F32, &device)?;
/// let weight = Weight::trainable(&variable);
///
/// // Inference: nothing is kept.
/// let context = Context::new(&device);
/// assert!(!linear(&context, &x, &weight, None)?.has_gradient());
///
/// // Training: the tape remembers how to compute the gradients.
/// let tape = Tape::new();
/// let y = linear(&context.training(&tape), &x, &weight, None)?;
/// let mut gradients = Gradients::default();
/// tape.backward(&[(&y, y.detach().ones_like()?)], &[], &mut gradients)?;
/// assert_eq!(gradients.get(&variable), Some(&[4.0; 6][..]));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Context<'t> {
    device: Device,
    backend: Backend,
    mode: Mode<'t>,
}

impl Context<'static> {
    /// Inference on a device, by its fastest backend.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), backend: Backend::of(device), mode: Mode::Inference }
    }
}

impl<'t> Context<'t> {
    /// The same with another backend.
    #[must_use]
    pub fn with_backend(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// The same for a forward pass that is recorded on `tape`.
    #[must_use]
    pub fn training<'a>(&self, tape: &'a Tape) -> Context<'a> {
        let device = self.device.clone();
        let backend = self.backend;
        Context { device, backend, mode: Mode::Training(tape) }
    }

    /// The same for decoding: products of few rows with a large matrix take a faster path that sums in another order.
    ///
    /// Elsewhere that path is not taken, so that a row's result does not depend, to the last bit, on how many rows are
    /// beside it: a run that was resumed would otherwise differ from one that was not.
    #[must_use]
    pub fn decoding(&self) -> Context<'static> {
        Context { device: self.device.clone(), backend: self.backend, mode: Mode::Decoding }
    }

    /// The device that holds the tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The implementation of operations that computes.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    pub(crate) fn is_decoding(&self) -> bool {
        matches!(self.mode, Mode::Decoding)
    }

    pub(crate) fn tape(&self) -> Option<&'t Tape> {
        match self.mode {
            Mode::Training(tape) => Some(tape),
            Mode::Inference | Mode::Decoding => None,
        }
    }

    /// Seed of the dropout masks of the pass; without one nothing is dropped.
    pub(crate) fn dropout_seed(&self) -> Option<u64> {
        self.tape().and_then(Tape::dropout_seed)
    }

    /// The results of an operation on `inputs` and `weights`, recorded if a gradient flows through any of these.
    ///
    /// `backward` is called with the gradients of the results, as far as they have one (at least one has), and adds
    /// the gradients of the operands to the [`BackwardPass`](crate::autograd::BackwardPass).
    ///
    /// # Errors
    /// An input that was recorded on another tape, or on any tape if this context records none: its gradient would
    /// be lost without a word.
    pub(crate) fn record<const N: usize>(
        &self,
        inputs: &[&Activation],
        weights: &[&Weight],
        results: [candle_core::Tensor; N],
        backward: impl FnOnce(
            [Option<candle_core::Tensor>; N],
            &mut crate::autograd::BackwardPass,
        ) -> candle_core::Result<()>
        + Send
        + 'static,
    ) -> candle_core::Result<[Activation; N]> {
        let mut has_gradient = false;
        for node in inputs.iter().filter_map(|input| input.node()) {
            if self.tape().is_none_or(|tape| !tape.has(node)) {
                candle_core::bail!(
                    "an activation that is recorded on a tape is used outside of it, where its gradient would be \
                     lost; detach() it if it should have none"
                )
            }
            has_gradient = true;
        }
        let tape = self.tape();
        has_gradient |= tape.is_some() && weights.iter().any(|weight| weight.is_trainable());
        match tape.filter(|_| has_gradient) {
            Some(tape) => Ok(tape.record(results, backward)),
            None => Ok(results.map(Activation::untracked)),
        }
    }

    /// As [`Context::record`], of an operation with one result.
    pub(crate) fn record_one(
        &self,
        inputs: &[&Activation],
        weights: &[&Weight],
        result: candle_core::Tensor,
        backward: impl FnOnce(
            candle_core::Tensor,
            &mut crate::autograd::BackwardPass,
        ) -> candle_core::Result<()>
        + Send
        + 'static,
    ) -> candle_core::Result<Activation> {
        let backward = |[gradient]: [Option<candle_core::Tensor>; 1],
                        pass: &mut crate::autograd::BackwardPass| {
            gradient.map_or(Ok(()), |gradient| backward(gradient, pass))
        };
        let [result] = self.record(inputs, weights, [result], backward)?;
        Ok(result)
    }
}
