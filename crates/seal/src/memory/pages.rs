//! Pages from the kernel: the one place of the house that is not checked by the compiler.
//!
//! Invariant: a region is mapped once, handed out once, and never unmapped, so that a borrow of
//! it for ever is true. Before and after it lies a page that nobody may touch.
//! Refs: memfd_secret(2), mmap(2), mlock(2), madvise(2), mprotect(2).
#![expect(unsafe_code, reason = "the kernel's calls for memory; each has its reason beside it")]

use core::ptr::{NonNull, null_mut};
use core::slice;

use super::Protection;

/// A region of `octets`, all zero; `None` if the host has none of that protection.
/// `octets` is a multiple of the page size.
pub(super) fn map(octets: usize, protection: Protection) -> Option<&'static mut [u8]> {
    // SAFETY: takes no pointer and changes nothing.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    if octets == 0 || page == 0 || !octets.is_multiple_of(page) {
        return None;
    }
    let whole = octets.checked_add(page.checked_mul(2)?)?;
    let base = match protection {
        Protection::Hidden => map_hidden(whole)?,
        Protection::Locked => map_plain(whole)?,
    };
    let start = base.as_ptr().wrapping_add(page);
    if guard(base, start, octets, page) && (protection == Protection::Hidden || lock(start, octets))
    {
        // SAFETY: `start` is `octets` octets within the mapping made above, which the kernel gave
        // us readable, writable and zeroed; only its outer pages were closed since. Nobody else
        // has the address, and it is never unmapped: the borrow may be unique and last for ever.
        return Some(unsafe { slice::from_raw_parts_mut(start, octets) });
    }
    // SAFETY: the mapping made above, whole, of which no borrow was handed out.
    unsafe { libc::munmap(base.as_ptr().cast(), whole) };
    None
}

fn mapped(address: *mut libc::c_void) -> Option<NonNull<u8>> {
    if address == libc::MAP_FAILED { None } else { NonNull::new(address.cast()) }
}

/// Pages that are in no map but this process's own: locked, and in no dump, by nature.
#[cfg(target_os = "linux")]
fn map_hidden(whole: usize) -> Option<NonNull<u8>> {
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
    // SAFETY: the call takes flags alone; what it gives is a descriptor or -1.
    let file = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let file = libc::c_int::try_from(file).ok().filter(|file| *file >= 0)?;
    // SAFETY: the kernel gave it just now, and nobody else knows its number. It is closed here:
    // the mapping lasts without it, and nobody can map it a second time.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    let length = libc::off_t::try_from(whole).ok()?;
    // SAFETY: no pointer; the descriptor is open.
    if unsafe { libc::ftruncate(file.as_raw_fd(), length) } != 0 {
        return None;
    }
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping where the kernel likes; no mapping that exists is changed.
    let base =
        unsafe { libc::mmap(null_mut(), whole, rights, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    mapped(base)
}

#[cfg(not(target_os = "linux"))]
fn map_hidden(_: usize) -> Option<NonNull<u8>> {
    None
}

fn map_plain(whole: usize) -> Option<NonNull<u8>> {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
    // SAFETY: a new mapping where the kernel likes; no mapping that exists is changed.
    mapped(unsafe { libc::mmap(null_mut(), whole, rights, kind, -1, 0) })
}

/// Closes the first and the last page, and keeps all of it from children: one that reads a key
/// there must stop, not go on with zeros.
fn guard(base: NonNull<u8>, start: *mut u8, octets: usize, page: usize) -> bool {
    let after = start.wrapping_add(octets);
    let close = |at: *mut u8| {
        // SAFETY: one whole page of the caller's mapping, of which no borrow exists.
        unsafe { libc::mprotect(at.cast(), page, libc::PROT_NONE) == 0 }
    };
    #[cfg(target_os = "linux")]
    // SAFETY: within the caller's mapping; says only what a fork does with it.
    let alone = unsafe { libc::madvise(start.cast(), octets, libc::MADV_DONTFORK) == 0 };
    #[cfg(not(target_os = "linux"))]
    let alone = true;
    close(base.as_ptr()) && close(after) && alone
}

fn lock(start: *mut u8, octets: usize) -> bool {
    #[cfg(target_os = "linux")]
    // SAFETY: within the caller's mapping; says only that a dump leaves it out.
    let undumped = unsafe { libc::madvise(start.cast(), octets, libc::MADV_DONTDUMP) == 0 };
    #[cfg(not(target_os = "linux"))]
    let undumped = true;
    // SAFETY: within the caller's mapping; changes nothing but that it stays in memory.
    undumped && unsafe { libc::mlock(start.cast(), octets) == 0 }
}
