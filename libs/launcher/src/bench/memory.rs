//! What the kernel says about this process's memory.

use eyre::{OptionExt, WrapErr};

/// The most memory that this process has had resident so far.
pub(crate) fn peak_bytes() -> eyre::Result<u64> {
    let status =
        std::fs::read_to_string("/proc/self/status").wrap_err("cannot read the peak memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(number.ok_or_eyre("/proc/self/status has no VmHWM in kB")? * 1024)
}
