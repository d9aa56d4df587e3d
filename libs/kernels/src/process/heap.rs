//! How the C library keeps memory that was freed.

/// Lets this process keep freed memory for its next allocations, however large.
///
/// A step allocates and frees the same large buffers again and again. By default each comes fresh from the
/// system, which clears it page by page and takes it back: about a tenth of a step. All threads share one heap,
/// or each would keep what it freed: steps run now on one thread of the pool and now on another. Call it once at
/// the start.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Allocations up to this size come from the heap; larger ones are rare.
        const LARGEST: libc::c_int = 1 << 30;
        // SAFETY: both only set a number of the allocator.
        #[expect(unsafe_code, reason = "a function of the C library")]
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, LARGEST);
        }
    }
    share_one_heap();
}

/// Lets all threads of this process share one heap, for the reason given at [`keep_freed_memory`]. Call it once at the
/// start.
pub fn share_one_heap() {
    // SAFETY: it only sets a number of the allocator.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a function of the C library")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives freed memory back to the system: for a process that works now and then and waits between.
pub fn give_back_freed_memory() {
    // SAFETY: the allocator's own business.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a function of the C library")]
    unsafe {
        libc::malloc_trim(0);
    }
}
