//! How entry points are written: the C signature, the names that share it, and a body that ends in an `Outcome`.

use std::ffi::{CStr, c_char};

use aquifer_cuda::CUDA_ERROR_INVALID_VALUE;

use crate::outcome::{Outcome, give};

/// Where a C caller wants a value. Only C callers make these, and they answer for them being valid or null.
#[repr(transparent)]
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Hands the value over; INVALID_VALUE where the pointer is null.
    pub fn give(&self, value: T) -> Outcome {
        // SAFETY: valid or null, as this type says.
        unsafe { give(self.0, value) }
    }

    /// Hands the value over where the caller wants it.
    pub fn offer(&self, value: T) {
        let _ = self.give(value);
    }

    /// INVALID_VALUE where the pointer is null, for calls that must not have begun then.
    pub fn check(&self) -> Outcome {
        if self.0.is_null() {
            Err(CUDA_ERROR_INVALID_VALUE)
        } else {
            Ok(())
        }
    }

    /// Writes a list of up to `room` values.
    pub fn give_all(&self, values: impl Iterator<Item = T>, room: usize) -> Outcome {
        self.check()?;
        for (index, value) in values.take(room).enumerate() {
            // SAFETY: valid for `room` values, as this type and the caller say.
            unsafe { self.0.add(index).write_unaligned(value) };
        }
        Ok(())
    }
}

/// A string of a C caller's: null, or ended by NUL.
#[repr(transparent)]
pub struct Text(*const c_char);

impl Text {
    /// The string; INVALID_VALUE where the pointer is null.
    pub fn get(&self) -> Outcome<&CStr> {
        if self.0.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: ended by NUL, as this type says, and unchanged during the call.
        Ok(unsafe { CStr::from_ptr(self.0) })
    }

    /// The string, where it is UTF-8.
    pub fn utf8(&self) -> Outcome<&str> {
        self.get()?.to_str().map_err(|_| CUDA_ERROR_INVALID_VALUE)
    }
}

/// A structure of a C caller's: null, or valid to read.
#[repr(transparent)]
pub struct In<T>(*const T);

impl<T: Copy> In<T> {
    /// The structure; INVALID_VALUE where the pointer is null.
    pub fn get(&self) -> Outcome<T> {
        if self.0.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: valid to read, as this type says.
        Ok(unsafe { self.0.read_unaligned() })
    }

    /// A list of `count` structures.
    pub fn get_all(&self, count: usize) -> Outcome<Vec<T>> {
        if self.0.is_null() && count != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: valid for `count` reads, as this type and the caller say.
        Ok((0..count)
            .map(|index| unsafe { self.0.add(index).read_unaligned() })
            .collect())
    }
}

/// An entry point in a table.
pub struct Entry {
    pub name: &'static str,
    pub address: *const (),
}

// SAFETY: the address of a function, the same for every thread.
unsafe impl Sync for Entry {}

/// Defines entry points and lists them in a table. Several names, before the `=`, may share one body.
macro_rules! calls {
    ($table:ident; $(fn $($name:ident)+ = $arguments:tt $body:block)*) => {
        $($($crate::api::calls::call!($name $arguments $body);)+)*
        pub static $table: &[$crate::api::calls::Entry] = &[
            $($($crate::api::calls::Entry { name: stringify!($name), address: $name as *const () },)+)*
        ];
    };
}

/// As `calls`, where names come in pairs of which the second takes a null stream for the calling thread's own. `$default` says which it is.
macro_rules! stream_calls {
    ($table:ident $default:ident; $(fn $($legacy:ident $per_thread:ident)+ = $arguments:tt $body:block)*) => {
        $($(
            $crate::api::calls::call!($legacy $arguments {
                #[allow(unused_variables)]
                let $default = $crate::stream::Default::Legacy;
                $body
            });
            $crate::api::calls::call!($per_thread $arguments {
                #[allow(unused_variables)]
                let $default = $crate::stream::Default::PerThread;
                $body
            });
        )+)*
        pub static $table: &[$crate::api::calls::Entry] = &[
            $($(
                $crate::api::calls::Entry { name: stringify!($legacy), address: $legacy as *const () },
                $crate::api::calls::Entry { name: stringify!($per_thread), address: $per_thread as *const () },
            )+)*
        ];
    };
}

macro_rules! call {
    ($name:ident ($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> aquifer_cuda::CUresult {
            // As many arguments as CUDA's own functions have.
            #[allow(clippy::too_many_arguments)]
            fn body($($argument: $type),*) -> $crate::outcome::Outcome {
                $body
            }
            match body($($argument),*) {
                Ok(()) => aquifer_cuda::CUDA_SUCCESS,
                Err(result) => result,
            }
        }
    };
}

pub(crate) use {call, calls, stream_calls};
