//! Frozen weights that the processes on one GPU have in common.
//!
//! On a small card a rollout, a learner and an evaluator stand side by side, and each would have the base of its policy
//! for itself. The processes of one daemon, and so of a run, which ask for the same base on the same GPU share it: the
//! first to come loads it into memory that others may map, and the others map it. What differs between them, adapters
//! and all that is computed, stays their own.

#[cfg(all(feature = "cuda", target_os = "linux"))]
mod arena;
#[cfg(all(any(feature = "cuda", test), target_os = "linux"))]
mod meeting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::{Quantization, TensorFiles};
use vrft_kernels::Nf4Matrix;

use crate::ModelError;
use crate::checkpoint::read_weights;
use crate::device::open_device;
use crate::names::Names;
use crate::quantized::Quantized;

/// What a process has in common with others; one for each process, kept until all policies are dropped and then
/// [finished](SharedWeights::finish).
#[derive(Debug, Default)]
pub struct SharedWeights {
    devices: Mutex<Vec<(vrft_plan::Device, Device)>>,
    #[cfg(all(feature = "cuda", target_os = "linux"))]
    held: Mutex<Option<on_gpu::Held>>,
}

impl SharedWeights {
    /// As [`open_device`], but always the same device for the same name: what lies on one that was opened twice is
    /// computed in two orders that know nothing of each other.
    ///
    /// # Errors
    /// As [`open_device`].
    pub fn open_device(
        &self,
        key: &'static str,
        name: vrft_plan::Device,
    ) -> Result<Device, ModelError> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, device)) = devices.iter().find(|(known, _)| *known == name) {
            return Ok(device.clone());
        }
        let device = open_device(key, name)?;
        devices.push((name, device.clone()));
        Ok(device)
    }

    /// Whoever has loaded the weights waits for the processes that still use them, a minute at most: memory that is
    /// mapped elsewhere should not go away beneath its users. To be called when nothing went wrong.
    pub fn finish(&self) {
        #[cfg(all(feature = "cuda", target_os = "linux"))]
        if let Some(held) = self.held.lock().unwrap_or_else(PoisonError::into_inner).take() {
            held.finish();
        }
    }
}

/// The frozen weights that a policy asks for.
#[cfg_attr(
    not(all(feature = "cuda", target_os = "linux")),
    expect(dead_code, reason = "what is shared is found by more than what is read")
)]
pub(crate) struct Wanted<'a> {
    pub(crate) files: &'a TensorFiles,
    /// Names of the tensors that the model takes.
    pub(crate) used: &'a BTreeSet<String>,
    pub(crate) names: Names,
    pub(crate) dtype: DType,
    pub(crate) device: &'a Device,
    pub(crate) quantization: Quantization,
    /// Which weights are turned into 4-bit numbers as they are read.
    pub(crate) quantizes: &'a dyn Fn(&str) -> bool,
    /// Rank of the adapters beside them.
    pub(crate) rank: usize,
}

impl Wanted<'_> {
    /// The weights in memory that others share, where that can be, and else in memory of their own.
    ///
    /// # Errors
    /// Weights that cannot be read; a device without memory left.
    pub(crate) fn load(&self, shared: Option<&SharedWeights>) -> Result<Base, ModelError> {
        if let Some(base) = shared.map(|shared| shared.base(self)).transpose()?.flatten() {
            return Ok(base);
        }
        let (tensors, quantized) =
            read_weights(self.files, self.used, self.dtype, self.device, self.quantizes)?;
        Ok(Base { tensors, quantized, packed: PackedBase::default() })
    }
}

/// Frozen weights, and those among them that lie as a GPU decodes with them.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) tensors: BTreeMap<String, Tensor>,
    pub(crate) quantized: Quantized,
    pub(crate) packed: PackedBase,
}

/// Layers of one input behind each other, by the name of the first one's weight.
#[derive(Debug, Clone, Default)]
pub(crate) struct PackedBase {
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "a GPU decodes with them"))]
    pub(crate) groups: BTreeMap<String, PackedGroupBase>,
    /// The right to the places of first factors behind the weights, which one policy alone can have.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "a GPU decodes with them"))]
    pub(crate) room: Option<Arc<std::fs::File>>,
}

/// The weights of layers of one input.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "a GPU decodes with them"))]
pub(crate) enum PackedGroupBase {
    /// (outputs + places for first factors, in)
    Each(Tensor),
    /// (outputs, in)
    Nf4(Nf4Matrix),
}

#[cfg(not(all(feature = "cuda", target_os = "linux")))]
impl SharedWeights {
    /// Nothing without a GPU.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "a GPU's memory may be full")]
    pub(crate) fn base(&self, _: &Wanted) -> Result<Option<Base>, ModelError> {
        Ok(None)
    }
}

#[cfg(all(feature = "cuda", target_os = "linux"))]
mod on_gpu {
    use std::fs::File;
    use std::path::PathBuf;
    use std::sync::Weak;

    use tracing::{debug, warn};

    use super::arena::{self, Arena};
    use super::meeting::{self, Member};
    use super::{Arc, Base, Device, ModelError, PoisonError, SharedWeights, Wanted, read_weights};

    /// The base that this process shares.
    #[derive(Debug)]
    pub(super) struct Held {
        key: String,
        device: Device,
        base: Base,
        room: Weak<File>,
        member: Member,
    }

    impl SharedWeights {
        /// The base in shared memory; nothing where it cannot be shared, and then everyone has their own.
        ///
        /// # Errors
        /// Weights that cannot be read; a GPU without memory left.
        pub(crate) fn base(&self, wanted: &Wanted) -> Result<Option<Base>, ModelError> {
            if !wanted.device.is_cuda() {
                return Ok(None);
            }
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let key = key(wanted)?;
            if held.is_none() {
                *held = join(wanted, &key)?;
            }
            let Some(held) = held.as_mut().filter(|held| held.is_of(wanted, &key)) else {
                return Ok(None);
            };
            let mut base = held.base.clone();
            base.packed.room = held.room();
            Ok(Some(base))
        }
    }

    impl Held {
        fn is_of(&self, wanted: &Wanted, key: &str) -> bool {
            self.key == key && self.device.same_device(wanted.device)
        }

        pub(super) fn finish(self) {
            if let Member::First(first) = self.member {
                first.finish();
            }
        }

        /// The places for first factors, unless a policy of this process or of another has them.
        fn room(&mut self) -> Option<Arc<File>> {
            if self.room.strong_count() > 0 {
                return None;
            }
            let room = Arc::new(self.member.room()?);
            self.room = Arc::downgrade(&room);
            Some(room)
        }
    }

    /// What has to be the same for two processes to share.
    fn key(wanted: &Wanted) -> Result<String, ModelError> {
        let gpu = vrft_kernels::gpu_id(wanted.device)?;
        let Wanted { files, dtype, quantization, rank, .. } = wanted;
        Ok(format!("{gpu} {dtype:?} {quantization:?} {rank} {}", files.identity()))
    }

    fn join(wanted: &Wanted, key: &str) -> Result<Option<Held>, ModelError> {
        let joined = match meeting::join(&folder(key)) {
            Ok(joined) => joined,
            Err(error) => {
                warn!("The weights are not shared with other processes: {error}");
                return Ok(None);
            }
        };
        let (base, member) = match joined {
            (Member::First(first), _) => {
                let mut arena = Arena::new(wanted);
                let Wanted { files, used, dtype, quantizes, .. } = wanted;
                read_weights(files, used, *dtype, &mut arena, quantizes)?;
                let (base, published) = arena.finish()?;
                let published = published.map_err(|error| error.to_string());
                match published.and_then(|text| first.publish(&text).map_err(|e| e.to_string())) {
                    Ok(()) => debug!("Others on this GPU may use these weights."),
                    Err(error) => warn!("The weights are not shared with other processes: {error}"),
                }
                (base, Member::First(first))
            }
            (guest, text) => match arena::open(wanted.device, &text) {
                Ok(base) => {
                    debug!("The weights are those of another process on this GPU.");
                    (base, guest)
                }
                Err(error) => {
                    warn!(
                        "The weights of another process cannot be used, so they are loaded once more: {error}"
                    );
                    return Ok(None);
                }
            },
        };
        let (key, device) = (key.to_owned(), wanted.device.clone());
        Ok(Some(Held { key, device, base, room: Weak::new(), member }))
    }

    /// Where those meet who want the same: processes of one daemon of this machine.
    fn folder(key: &str) -> PathBuf {
        let meeting = format!("{} {key}", std::os::unix::process::parent_id());
        let hash = twox_hash::XxHash3_128::oneshot(meeting.as_bytes());
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        let all = runtime.map_or_else(std::env::temp_dir, PathBuf::from);
        all.join(format!("vrft-weights-{hash:032x}"))
    }
}
