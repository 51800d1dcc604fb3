//! The bounds that every fuzz target has to keep, beside what it asserts itself.
#![forbid(unsafe_code)]

pub mod targets;

use std::{alloc::System, time::Duration};

use cap::Cap;
use cpu_time::ThreadTime;

/// Counts the heap of the process. (libFuzzer's own `-malloc_limit_mb` needs a sanitizer.)
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// The most that may ever be on the heap: clients, templates and what an input makes of them.
const MAX_HEAP_BYTES: usize = 64 * 1024 * 1024;
/// Processor time for one input of at most 16 KiB, where it is deployed.
const LIMIT: Duration = Duration::from_millis(10);
/// How much slower this build is: it counts every branch and checks every sum. (Measured with a
/// password of 28 characters: 0.3 ms in a release build, 1.5 ms here.)
const SLOWDOWN: u32 = 5;
/// How often an input has to be over the limit. The time is the thread's own, but caches and the
/// clock's frequency are shared with whatever else runs on the machine.
const TRIES: usize = 3;

/// Runs `target` on `data`; panics where it takes too long each time, or too much memory.
pub fn bounded(target: fn(&[u8]), data: &[u8]) {
    let is_slow = |_| {
        let start = ThreadTime::now();
        target(data);
        start.elapsed() > SLOWDOWN * LIMIT
    };
    assert!(
        !(0..TRIES).all(is_slow),
        "over {SLOWDOWN} times {LIMIT:?} of processor time for {} bytes, {TRIES} times",
        data.len()
    );
    let heap = HEAP.max_allocated();
    assert!(heap <= MAX_HEAP_BYTES, "the heap has grown to {heap} bytes");
}
