//! The allocator: what is in use, and giving back what is not.
//!
//! The inventory is a great many small pieces that come and go: mimalloc halves what they cost. What a first
//! listing needed (an answer of a hundred megabytes) it would keep for the next one, which may never come.

use mimalloc::MiMalloc;
use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const EVERY: Duration = Duration::from_secs(1);

/// Counts what is asked for. How much of the system's memory that takes is another matter, which the system tells.
struct Counting;

/// Threads do not wait for one another to count: each has one of these, and what one of them takes another may give back.
#[repr(align(64))]
struct Count(AtomicIsize);

static COUNTS: [Count; 16] = [const { Count(AtomicIsize::new(0)) }; 16];

fn count(bytes: isize) {
    thread_local! {
        static OWN: Cell<Option<&'static Count>> = const { Cell::new(None) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let own = OWN.get().unwrap_or_else(|| {
        let own = &COUNTS[NEXT.fetch_add(1, Relaxed) % COUNTS.len()];
        OWN.set(Some(own));
        own
    });
    own.0.fetch_add(bytes, Relaxed);
}

/// Bytes that the program has asked for and not given back.
pub fn used() -> u64 {
    let sum: isize = COUNTS.iter().map(|count| count.0.load(Relaxed)).sum();
    u64::try_from(sum).unwrap_or_default()
}

// SAFETY: what allocates is mimalloc, and it is asked for exactly what we are asked for.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { MiMalloc.realloc(block, layout, size) }
    }
}

/// Starts giving unused memory back to the system, from a thread of its own: what threads leave behind that ended.
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

/// Gives back what this thread does not use: it has nothing to do now.
pub fn return_own_memory() {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if LAST.get().is_none_or(|last| last.elapsed() >= EVERY) {
        LAST.set(Some(Instant::now()));
        collect();
    }
}

#[allow(unsafe_code)]
fn collect() {
    // SAFETY: takes no pointer, may be called from any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
