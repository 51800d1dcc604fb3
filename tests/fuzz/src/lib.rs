//! Limits on time and memory for every fuzz target, in addition to its own assertions.
#![forbid(unsafe_code)]

pub mod targets;

use std::{alloc::System, time::Duration};

use cap::Cap;
use cpu_time::ThreadTime;

/// Counts the heap of the process. libFuzzer's `-malloc_limit_mb` needs a sanitizer.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Limit of the heap, with AWS clients, templates and everything an input allocates.
const MAX_HEAP_BYTES: usize = 64 * 1024 * 1024;
/// CPU time for an input of up to 16 KiB in a release build.
const LIMIT: Duration = Duration::from_millis(10);
/// Slowdown of the instrumented build, which counts branches and checks overflows. Measured with a
/// password of 28 characters: 0.3 ms in a release build, 1.5 ms here.
const SLOWDOWN: u32 = 5;
/// Attempts that must all exceed the time limit. The time is the thread's own, but other work on the
/// machine shares its caches and clock frequency.
const TRIES: usize = 3;

/// Runs `target` on `data`. Panics if every attempt takes too long, or on too much memory.
pub fn bounded(target: fn(&[u8]), data: &[u8]) {
    let is_slow = |_| {
        let start = ThreadTime::now();
        target(data);
        start.elapsed() > SLOWDOWN * LIMIT
    };
    assert!(
        !(0..TRIES).all(is_slow),
        "{} bytes took over {SLOWDOWN} times {LIMIT:?} of CPU time, {TRIES} times",
        data.len()
    );
    let heap = HEAP.max_allocated();
    assert!(heap <= MAX_HEAP_BYTES, "the heap has grown to {heap} bytes");
}
