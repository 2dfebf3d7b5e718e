//! The program `bailiwick`; all of it is the library beside it.
//!
//! Invariant: freed memory is wiped, so that a letter does not outlive its reading.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    bailiwick::main()
}
