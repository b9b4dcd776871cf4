//! From the addresses of the lanes to host memory.

use super::op::Op;
use super::warp::Warp;
use crate::error::Fault;

/// How memory is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Atomic,
}

/// Global memory as the interpreter sees it.
pub trait Memory: Sync {
    /// The host address of `bytes` bytes at a device address, when all of them may be accessed so.
    fn translate(&self, address: u64, bytes: u32, access: Access) -> Option<*mut u8>;

    /// A range (start, end, host address of start) around an address that may be read and written throughout the
    /// launch. Ranges are what makes access fast.
    fn window(&self, address: u64) -> Option<(u64, u64, *mut u8)>;
}

/// State spaces, as const generic parameters of the access handlers.
pub(crate) const GLOBAL: u8 = 0;
pub(crate) const SHARED: u8 = 1;
pub(crate) const LOCAL: u8 = 2;
pub(crate) const GENERIC: u8 = 3;

/// Where the other spaces begin in generic addressing: beyond every address of the host's user space.
pub(crate) const SHARED_BASE: u64 = 0x4100_0000_0000_0000;
pub(crate) const LOCAL_BASE: u64 = 0x4200_0000_0000_0000;
pub(crate) const PARAM_BASE: u64 = 0x4300_0000_0000_0000;
/// The size of each.
pub(crate) const SPACE_BYTES: u64 = 1 << 32;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub start: u64,
    pub bytes: u64,
    pub host: *mut u8,
}

impl Window {
    pub const EMPTY: Window = Window {
        start: 0,
        bytes: 0,
        host: std::ptr::null_mut(),
    };

    #[inline(always)]
    fn holds(&self, address: u64, size: u64) -> bool {
        self.bytes >= size && address.wrapping_sub(self.start) <= self.bytes - size
    }
}

/// What the addresses of the active lanes look like.
pub(crate) enum Pattern {
    /// All lanes, one element after the other.
    Run(*mut u8),
    /// The same for all active lanes.
    Same(*mut u8),
    /// Host address = address + this.
    Delta(usize),
    /// Host address = address + this + lane * stride.
    Strided(usize),
    /// One by one, in `Warp::pointers`.
    Each,
    Fault,
}

/// Checks every active lane's address (register + offset) and finds its host memory.
///
/// # Safety
/// The handler's contract; `addresses` is an operand of `op`.
#[inline(always)]
pub(crate) unsafe fn resolve<const SPACE: u8>(
    w: &mut Warp,
    op: *const Op,
    addresses: &[u64; 32],
    offset: u64,
    size: u64,
    access: Access,
) -> Pattern {
    let window = match SPACE {
        SHARED => Window {
            start: 0,
            bytes: w.shared_bytes,
            host: w.shared,
        },
        LOCAL => Window {
            start: 0,
            bytes: w.local_stride,
            host: w.local,
        },
        _ => w.windows[0],
    };
    let mask = w.mask;
    let align = size - 1;
    let delta = (window.host as usize)
        .wrapping_sub(window.start as usize)
        .wrapping_add(offset as usize);
    if SPACE != LOCAL && mask == !0 {
        let (first, second, last) = (addresses[0], addresses[1], addresses[31]);
        if last.wrapping_sub(first) == 31 * size && second.wrapping_sub(first) == size {
            let mut other = 0;
            for (lane, address) in addresses.iter().enumerate() {
                other |= address.wrapping_sub(first) ^ (lane as u64 * size);
            }
            let start = first.wrapping_add(offset);
            if other == 0 && start & align == 0 && window.holds(start, 32 * size) {
                return Pattern::Run((delta.wrapping_add(first as usize)) as *mut u8);
            }
        } else if last == first && second == first {
            let mut other = 0;
            for address in addresses {
                other |= address ^ first;
            }
            let start = first.wrapping_add(offset);
            if other == 0 && start & align == 0 && window.holds(start, size) {
                return Pattern::Same((delta.wrapping_add(first as usize)) as *mut u8);
            }
        }
    }
    if window.bytes >= size && mask != 0 {
        let limit = window.bytes - size;
        let bias = offset.wrapping_sub(window.start);
        let (mut outside, mut low) = (0u64, 0u64);
        if mask == !0 {
            for address in addresses {
                let inside = address.wrapping_add(bias);
                outside |= inside | limit.wrapping_sub(inside);
                low |= address.wrapping_add(offset);
            }
        } else {
            let spare = addresses[mask.trailing_zeros() as usize];
            for (lane, address) in addresses.iter().enumerate() {
                let address = if mask & (1 << lane) != 0 {
                    *address
                } else {
                    spare
                };
                let inside = address.wrapping_add(bias);
                outside |= inside | limit.wrapping_sub(inside);
                low |= address.wrapping_add(offset);
            }
        }
        // The sign bit is set by every address below the start or beyond the limit.
        if outside >> 63 == 0 && low & align == 0 {
            return if SPACE == LOCAL {
                Pattern::Strided(delta)
            } else {
                Pattern::Delta(delta)
            };
        }
    }
    // SAFETY: the caller's promise.
    unsafe { find(w, op, addresses, offset, size, SPACE, access) }
}

/// The general case: other windows, generic addresses, faults.
///
/// # Safety
/// As for `resolve`.
#[cold]
#[inline(never)]
unsafe fn find(
    w: &mut Warp,
    op: *const Op,
    addresses: &[u64; 32],
    offset: u64,
    size: u64,
    space: u8,
    access: Access,
) -> Pattern {
    let mask = w.mask;
    let lanes = || (0..32usize).filter(|lane| mask & (1 << lane) != 0);
    for lane in lanes() {
        let address = addresses[lane].wrapping_add(offset);
        if address & (size - 1) != 0 {
            let (kernel, line) = (w.program().name.clone(), w.line_of(op));
            w.fail(Fault::Misaligned {
                address,
                kernel,
                line,
            });
            return Pattern::Fault;
        }
    }
    let Some(first) = lanes().next() else {
        return Pattern::Each;
    };
    let address = addresses[first].wrapping_add(offset);
    if let Some(window) = window_of(w, address, size, space)
        && lanes().all(|lane| window.holds(addresses[lane].wrapping_add(offset), size))
    {
        let delta = (window.host as usize)
            .wrapping_sub(window.start as usize)
            .wrapping_add(offset as usize);
        return Pattern::Delta(delta);
    }
    for lane in lanes() {
        let address = addresses[lane].wrapping_add(offset);
        match pointer(w, address, size, space, access, lane) {
            Some(pointer) => w.pointers[lane] = pointer,
            None => {
                let (kernel, line) = (w.program().name.clone(), w.line_of(op));
                w.fail(Fault::IllegalAddress {
                    address,
                    kernel,
                    line,
                });
                return Pattern::Fault;
            }
        }
    }
    Pattern::Each
}

/// A window that holds the address; one of global memory moves to the front.
fn window_of(w: &mut Warp, address: u64, size: u64, space: u8) -> Option<Window> {
    if space == GENERIC && address.wrapping_sub(SHARED_BASE) < SPACE_BYTES {
        return Some(Window {
            start: SHARED_BASE,
            bytes: w.shared_bytes,
            host: w.shared,
        });
    }
    if space != GLOBAL && space != GENERIC {
        return None;
    }
    if let Some(at) = w
        .windows
        .iter()
        .position(|window| window.holds(address, size))
    {
        w.windows[..=at].rotate_right(1);
        return Some(w.windows[0]);
    }
    let (start, end, host) = w.context().memory.window(address)?;
    let window = Window {
        start,
        bytes: end.checked_sub(start)?,
        host,
    };
    if !window.holds(address, size) {
        return None;
    }
    w.windows.rotate_right(1);
    w.windows[0] = window;
    Some(window)
}

fn pointer(
    w: &Warp,
    address: u64,
    size: u64,
    space: u8,
    access: Access,
    lane: usize,
) -> Option<*mut u8> {
    let within = |start: u64, bytes: u64, host: *mut u8| {
        let window = Window { start, bytes, host };
        window
            .holds(address, size)
            .then(|| host.wrapping_add((address - start) as usize))
    };
    let local = w.local.wrapping_add(lane * w.local_stride as usize);
    match space {
        SHARED => return within(0, w.shared_bytes, w.shared),
        LOCAL => return within(0, w.local_stride, local),
        GENERIC if address >= SHARED_BASE => {
            let params = w.context().params;
            return match address & !(SPACE_BYTES - 1) {
                SHARED_BASE => within(SHARED_BASE, w.shared_bytes, w.shared),
                LOCAL_BASE => within(LOCAL_BASE, w.local_stride, local),
                PARAM_BASE if access == Access::Read => {
                    within(PARAM_BASE, params.len() as u64, params.as_ptr().cast_mut())
                }
                _ => None,
            };
        }
        _ => {}
    }
    let held = w.windows.iter().find(|window| window.holds(address, size));
    match held {
        Some(window) => Some(window.host.wrapping_add((address - window.start) as usize)),
        None => w.context().memory.translate(address, size as u32, access),
    }
}
