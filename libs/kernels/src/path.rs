//! Which way an operation takes: fused on the CPU, composed of candle's own operations elsewhere.

use std::cell::Cell;

use candle_core::Device;

thread_local! {
    static COMPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether operations on tensors of this device are fused.
pub fn is_fused(device: &Device) -> bool {
    device.is_cpu() && !COMPOSED.get()
}

/// Calls `f` as if the CPU were a device for which nothing is fused, on this thread: what a model does on such
/// a device can so be tested without one.
#[doc(hidden)]
pub fn composed<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            COMPOSED.set(self.0);
        }
    }
    let _restore = Restore(COMPOSED.replace(true));
    f()
}
