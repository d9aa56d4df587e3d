//! Launches that are recorded once and then repeated as one ("CUDA graphs").

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaGraph, sys};
use candle_core::{CudaDevice, Result, bail};

/// Recorded launches, with the addresses and sizes that they had.
pub(crate) struct Graph(CudaGraph);

// SAFETY: a graph may be used by any thread, by one at a time: all of its functions but that of dropping it need it
// exclusively.
#[expect(unsafe_code, reason = "the driver's handles are plain pointers")]
unsafe impl Send for Graph {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "the driver's handles are plain pointers")]
unsafe impl Sync for Graph {}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Graph")
    }
}

impl Graph {
    /// Records what `launches` launches on the device's stream; nothing of it is computed. It may not allocate, nor
    /// copy from or to main memory, nor load a kernel: it has run once before.
    pub(crate) fn record(
        device: &CudaDevice,
        launches: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let stream = device.cuda_stream();
        // Other threads may ask the driver for what they want meanwhile.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        stream.begin_capture(mode).w()?;
        let launched = launches();
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0));
        launched?;
        match graph.w()? {
            Some(graph) => Ok(Self(graph)),
            None => bail!("the CUDA driver recorded nothing"),
        }
    }

    /// Launches it all.
    pub(crate) fn launch(&mut self) -> Result<()> {
        self.0.launch().w()
    }
}
