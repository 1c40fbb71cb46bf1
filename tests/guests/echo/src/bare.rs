//! What `std` would bring, for a module that serves one call and is dropped: an allocator that
//! only ever grows, and a panic that is a trap.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::cell::Cell;
use core::ptr;

const PAGE: usize = 64 << 10;

/// Hands out memory from the end of the module's data upwards and takes none back, except that
/// the newest block can grow and shrink where it is.
struct Bump {
    /// The first free byte; 0 before the first allocation.
    next: Cell<usize>,
    /// The end of the linear memory.
    end: Cell<usize>,
}

// SAFETY: the module has one thread; a static needs to say so.
unsafe impl Sync for Bump {}

#[global_allocator]
static ALLOCATOR: Bump = Bump {
    next: Cell::new(0),
    end: Cell::new(0),
};

impl Bump {
    /// Makes `start..start + size` the newest block, or answers null when the memory cannot grow.
    fn claim(&self, start: usize, size: usize) -> *mut u8 {
        let Some(next) = start.checked_add(size) else {
            return ptr::null_mut();
        };
        if next > self.end.get() {
            let pages = (next - self.end.get()).div_ceil(PAGE);
            if wasm32::memory_grow::<0>(pages) == usize::MAX {
                return ptr::null_mut();
            }
            self.end.set(self.end.get() + pages * PAGE);
        }
        self.next.set(next);
        start as *mut u8
    }
}

// SAFETY: blocks do not overlap, because each starts at or after the end of all earlier ones; a
// block that grows in place is the newest, with nothing after it.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.next.get() == 0 {
            unsafe extern "C" {
                /// Where the linker says that the heap begins; only its address means anything.
                static __heap_base: u8;
            }
            self.next.set(&raw const __heap_base as usize);
            self.end.set(wasm32::memory_size::<0>() * PAGE);
        }
        let Some(start) = self.next.get().checked_next_multiple_of(layout.align()) else {
            return ptr::null_mut();
        };
        self.claim(start, layout.size())
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if block as usize + layout.size() == self.next.get() {
            return self.claim(block as usize, size);
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller keeps to `realloc`'s contract, and the new block is the larger one.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size());
            }
            new
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    wasm32::unreachable()
}

/// How the host gets room for what it passes. (wit-bindgen brings this function on other targets,
/// and on wasm32-wasip2 leaves it to the libc of `std`.)
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    block: *mut u8,
    old_size: usize,
    align: usize,
    size: usize,
) -> *mut u8 {
    // SAFETY: the host keeps to the canonical ABI, which has the contract of an allocator; and
    // this allocator gives a block of no bytes an address like any other's.
    let new = unsafe {
        match old_size {
            0 => ALLOCATOR.alloc(Layout::from_size_align_unchecked(size, align)),
            _ => ALLOCATOR.realloc(
                block,
                Layout::from_size_align_unchecked(old_size, align),
                size,
            ),
        }
    };
    if new.is_null() {
        wasm32::unreachable()
    }
    new
}
