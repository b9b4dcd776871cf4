//! Decoded operations: what a warp executes.

use super::warp::Warp;

/// Runs one operation for the lanes of `Warp::mask` and gives the next one, or null to leave the loop.
///
/// # Safety
/// The operation must be one that `lower` made for this warp's program: operand offsets are not checked again.
pub(crate) type Handler = unsafe fn(&mut Warp, *const Op) -> *const Op;

/// One operation, 32 bytes. What the fields mean is the handler's affair; register operands are byte offsets into
/// the frame or, with `CONSTANT` set, into the program's constants.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Op {
    pub run: Handler,
    pub d: u32,
    pub a: u32,
    pub b: u32,
    pub c: u32,
    pub x: u32,
    pub y: u32,
}

/// Marks an operand as an offset into the constants.
pub(crate) const CONSTANT: u32 = 1 << 31;

/// Which instructions of the host the handlers may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Isa {
    /// The best this machine has.
    pub fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
        {
            return Isa::Avx2;
        }
        Isa::Portable
    }
}

/// Defines `$name::<…>(isa) -> Handler`, which gives the version of `$body` compiled for that instruction set.
macro_rules! handler {
    ($name:ident, $body:ident $(, <$($g:ident: $bound:path),* $(; const $c:ident: $ct:ty)*>)?) => {
        pub(crate) fn $name$(<$($g: $bound,)* $(const $c: $ct),*>)?(isa: $crate::exec::op::Isa) -> $crate::exec::op::Handler {
            unsafe fn portable$(<$($g: $bound,)* $(const $c: $ct),*>)?(
                w: &mut $crate::exec::warp::Warp,
                op: *const $crate::exec::op::Op,
            ) -> *const $crate::exec::op::Op {
                // SAFETY: the caller keeps the handler's contract.
                unsafe { $body$(::<$($g,)* $($c),*>)?(w, op) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
            unsafe fn avx2$(<$($g: $bound,)* $(const $c: $ct),*>)?(
                w: &mut $crate::exec::warp::Warp,
                op: *const $crate::exec::op::Op,
            ) -> *const $crate::exec::op::Op {
                // SAFETY: the caller keeps the handler's contract; it chose this version by `Isa::detect`.
                unsafe { $body$(::<$($g,)* $($c),*>)?(w, op) }
            }
            match isa {
                $crate::exec::op::Isa::Portable => portable$(::<$($g,)* $($c),*>)?,
                #[cfg(target_arch = "x86_64")]
                $crate::exec::op::Isa::Avx2 => avx2$(::<$($g,)* $($c),*>)?,
            }
        }
    };
}
pub(crate) use handler;
