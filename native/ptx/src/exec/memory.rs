//! Loads and stores.
//!
//! Kernels may race with themselves on device memory as real ones do. That memory is never reached by reference, only
//! through the raw pointers here, one element at a time, and no host object lives in it.

use super::lanes::{Value, store};
use super::op::{Op, handler};
use super::resolve::{Access, Pattern, resolve};
use super::warp::Warp;

/// Something that memory holds: its in-memory form is `Self`, its register form a cell.
pub(crate) trait Element: Value {}
impl Element for u8 {}
impl Element for i8 {}
impl Element for u16 {}
impl Element for i16 {}
impl Element for u32 {}
impl Element for u64 {}

/// Calls `each(lane, pointer)` for the lanes of the mask.
///
/// # Safety
/// The pattern must be that of the addresses for the present mask.
#[inline(always)]
pub(crate) unsafe fn visit(
    w: &Warp,
    pattern: &Pattern,
    addresses: &[u64; 32],
    size: usize,
    mut each: impl FnMut(usize, *mut u8),
) {
    macro_rules! lanes {
        ($lane:ident => $pointer:expr) => {
            if w.mask == !0 {
                for $lane in 0..32usize {
                    each($lane, $pointer);
                }
            } else {
                let mut rest = w.mask;
                while rest != 0 {
                    let $lane = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    each($lane, $pointer);
                }
            }
        };
    }
    match *pattern {
        Pattern::Delta(delta) => {
            lanes!(lane => delta.wrapping_add(addresses[lane] as usize) as *mut u8)
        }
        Pattern::Same(pointer) => lanes!(lane => { let _ = lane; pointer }),
        Pattern::Run(start) => lanes!(lane => start.wrapping_add(lane * size)),
        Pattern::Strided(delta) => {
            let stride = w.local_stride as usize;
            lanes!(lane => delta.wrapping_add(addresses[lane] as usize).wrapping_add(lane * stride) as *mut u8);
        }
        Pattern::Each => lanes!(lane => w.pointers[lane]),
        Pattern::Fault => {}
    }
}

/// d = [a + b].
#[inline(always)]
unsafe fn load_body<T: Element, const SPACE: u8>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract; `resolve` has checked what is read.
    unsafe {
        let o = &*op;
        let size = std::mem::size_of::<T>();
        let addresses = &*w.at::<[u64; 32]>(o.a);
        let offset = i64::from(o.b as i32) as u64;
        let pattern = resolve::<SPACE>(w, op, addresses, offset, size as u64, Access::Read);
        let d = w.at::<[T::Cell; 32]>(o.d);
        match pattern {
            Pattern::Run(start) => {
                store(!0, d, |i| start.cast::<T>().add(i).read_unaligned().put())
            }
            Pattern::Same(pointer) => {
                let value = pointer.cast::<T>().read_unaligned().put();
                store(w.mask, d, |_| value);
            }
            Pattern::Fault => return std::ptr::null(),
            other => visit(w, &other, addresses, size, |lane, pointer| {
                d.cast::<T::Cell>()
                    .add(lane)
                    .write(pointer.cast::<T>().read_unaligned().put());
            }),
        }
        op.add(1)
    }
}
handler!(load, load_body, <T: Element; const SPACE: u8>);

/// [a + b] = c.
#[inline(always)]
unsafe fn store_body<T: Element, const SPACE: u8>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `load_body`.
    unsafe {
        let o = &*op;
        let size = std::mem::size_of::<T>();
        let addresses = &*w.at::<[u64; 32]>(o.a);
        let offset = i64::from(o.b as i32) as u64;
        let pattern = resolve::<SPACE>(w, op, addresses, offset, size as u64, Access::Write);
        let values = &*w.at::<[T::Cell; 32]>(o.c);
        match pattern {
            Pattern::Run(start) => {
                for (lane, value) in values.iter().enumerate() {
                    start.cast::<T>().add(lane).write_unaligned(T::get(*value));
                }
            }
            Pattern::Fault => return std::ptr::null(),
            other => visit(w, &other, addresses, size, |lane, pointer| {
                pointer.cast::<T>().write_unaligned(T::get(values[lane]));
            }),
        }
        op.add(1)
    }
}
handler!(store_to, store_body, <T: Element; const SPACE: u8>);

/// The y registers in `extra[x..]` = [a + b], one after the other.
#[inline(always)]
unsafe fn load_vector_body<T: Element, const SPACE: u8>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `load_body`.
    unsafe {
        let o = &*op;
        let size = std::mem::size_of::<T>();
        let count = o.y as usize;
        let addresses = &*w.at::<[u64; 32]>(o.a);
        let offset = i64::from(o.b as i32) as u64;
        let pattern = resolve::<SPACE>(
            w,
            op,
            addresses,
            offset,
            (size * count) as u64,
            Access::Read,
        );
        if let Pattern::Fault = pattern {
            return std::ptr::null();
        }
        let mut targets = [std::ptr::null_mut::<T::Cell>(); 4];
        for (i, target) in targets.iter_mut().enumerate().take(count) {
            *target = w.at::<T::Cell>(w.program().extra[o.x as usize + i]);
        }
        visit(w, &pattern, addresses, size * count, |lane, pointer| {
            for (i, target) in targets.iter().enumerate().take(count) {
                target
                    .add(lane)
                    .write(pointer.cast::<T>().add(i).read_unaligned().put());
            }
        });
        op.add(1)
    }
}
handler!(load_vector, load_vector_body, <T: Element; const SPACE: u8>);

/// [a + b] = the y registers in `extra[x..]`.
#[inline(always)]
unsafe fn store_vector_body<T: Element, const SPACE: u8>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `load_body`.
    unsafe {
        let o = &*op;
        let size = std::mem::size_of::<T>();
        let count = o.y as usize;
        let addresses = &*w.at::<[u64; 32]>(o.a);
        let offset = i64::from(o.b as i32) as u64;
        let pattern = resolve::<SPACE>(
            w,
            op,
            addresses,
            offset,
            (size * count) as u64,
            Access::Write,
        );
        if let Pattern::Fault = pattern {
            return std::ptr::null();
        }
        let mut sources = [std::ptr::null_mut::<T::Cell>(); 4];
        for (i, source) in sources.iter_mut().enumerate().take(count) {
            *source = w.at::<T::Cell>(w.program().extra[o.x as usize + i]);
        }
        visit(w, &pattern, addresses, size * count, |lane, pointer| {
            for (i, source) in sources.iter().enumerate().take(count) {
                pointer
                    .cast::<T>()
                    .add(i)
                    .write_unaligned(T::get(source.add(lane).read()));
            }
        });
        op.add(1)
    }
}
handler!(store_vector, store_vector_body, <T: Element; const SPACE: u8>);

/// d = the kernel parameter at byte b. `lower` and `launch` have checked the bounds.
#[inline(always)]
unsafe fn load_param_body<T: Element>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let o = &*op;
        let value = w
            .context()
            .params
            .as_ptr()
            .add(o.b as usize)
            .cast::<T>()
            .read_unaligned()
            .put();
        let d = w.at::<[T::Cell; 32]>(o.d);
        store(w.mask, d, |_| value);
        op.add(1)
    }
}
handler!(load_param, load_param_body, <T: Element>);

/// d = the local address of byte b of the current frame.
#[inline(always)]
unsafe fn frame_address_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let o = &*op;
        let value = u64::from(w.local_frame) + u64::from(o.b);
        store(w.mask, w.at::<[u64; 32]>(o.d), |_| value);
        op.add(1)
    }
}
handler!(frame_address, frame_address_body);

/// Copies y bytes of each lane from local frame offset a to d.
unsafe fn copy_local_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract; the call just before or after has checked that both frames are within the local
    // memory, and so does this.
    unsafe {
        let o = &*op;
        let bytes = o.y as usize;
        let from = w.local_frame as usize + o.a as usize;
        let to = w.local_frame as usize + o.d as usize;
        if (from.max(to) + bytes) as u64 > w.local_stride {
            let (kernel, line) = (w.program().name.clone(), w.line_of(op));
            return w.fail(crate::error::Fault::StackOverflow { kernel, line });
        }
        for lane in 0..32usize {
            if w.mask & (1 << lane) != 0 {
                let start = w.local.add(lane * w.local_stride as usize);
                std::ptr::copy(start.add(from), start.add(to), bytes);
            }
        }
        op.add(1)
    }
}
handler!(copy_local, copy_local_body);

/// Notes an access that a spinning lane may be waiting on.
unsafe fn observe_body(w: &mut Warp, op: *const Op) -> *const Op {
    w.spin += 1;
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    // SAFETY: never the last operation.
    unsafe { op.add(1) }
}
handler!(observe, observe_body);

/// Orders memory accesses.
unsafe fn fence_body(_: &mut Warp, op: *const Op) -> *const Op {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    // SAFETY: never the last operation.
    unsafe { op.add(1) }
}
handler!(fence, fence_body);
