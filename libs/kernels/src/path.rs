//! Which way an operation takes: fused on the CPU, composed of candle's own operations elsewhere; and on the CPU, as
//! one of many rows or of few.

use std::cell::Cell;
use std::thread::LocalKey;

use candle_core::Device;

thread_local! {
    static COMPOSED: Cell<bool> = const { Cell::new(false) };
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether operations on tensors of this device are fused.
pub fn is_fused(device: &Device) -> bool {
    device.is_cpu() && !COMPOSED.get()
}

/// Calls `f` as if the CPU were a device for which nothing is fused, on this thread: what a model does on such
/// a device can so be tested without one.
#[doc(hidden)]
pub fn composed<R>(f: impl FnOnce() -> R) -> R {
    scoped(&COMPOSED, true, f)
}

/// Calls `f`, in which this thread multiplies few rows in a way of their own, as is best while decoding.
///
/// That way sums in another order. Elsewhere it is not taken, so that what becomes of a row does not depend, to the
/// last bit, on how many others are beside it: a run that was resumed would else differ from one that was not.
pub fn decoding<R>(f: impl FnOnce() -> R) -> R {
    scoped(&DECODING, true, f)
}

/// Calls `f` outside of any [`decoding`] that this thread may be waiting in.
pub(crate) fn not_decoding<R>(f: impl FnOnce() -> R) -> R {
    scoped(&DECODING, false, f)
}

pub(crate) fn is_decoding() -> bool {
    DECODING.get()
}

fn scoped<R>(flag: &'static LocalKey<Cell<bool>>, value: bool, f: impl FnOnce() -> R) -> R {
    struct Restore(&'static LocalKey<Cell<bool>>, bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(flag, flag.replace(value));
    f()
}
