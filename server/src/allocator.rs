//! The allocator, and giving memory back.
//!
//! The inventory is a great many small pieces that come and go: mimalloc halves what they cost. What a first
//! listing needed (an answer of a hundred megabytes) it would keep for the next one, which may never come.

use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVERY: Duration = Duration::from_secs(1);

/// Starts giving unused memory back to the system, from a thread of its own.
pub fn return_memory() -> std::io::Result<()> {
    // In pages of 2 MiB what is free could not be given back beside what is not.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay");
    }
    let give_back = || {
        loop {
            std::thread::sleep(EVERY);
            collect();
        }
    };
    std::thread::Builder::new()
        .name("memory".to_owned())
        .spawn(give_back)
        .map(drop)
}

#[allow(unsafe_code)]
fn collect() {
    // SAFETY: takes no pointer, may be called from any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
