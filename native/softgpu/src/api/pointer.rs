//! Asking what an address is.

use std::ffi::{c_int, c_uint, c_ulonglong, c_void};

use aquifer_cuda::*;

use super::calls::{In, calls};
use super::context::handle_of;
use crate::context::{CONTEXTS, initialized};
use crate::outcome::{Outcome, give, require};
use crate::space::{self, Kind, Range};

/// Writes an attribute of an address to `data`, in the type that the attribute has.
///
/// # Safety
/// `data` must be valid for the attribute's type.
unsafe fn tell(
    data: *mut c_void,
    attribute: CUpointer_attribute,
    address: CUdeviceptr,
    range: &Range,
) -> Outcome {
    let number = |value: c_uint| {
        // SAFETY: as the caller promises.
        unsafe { give(data.cast(), value) }
    };
    let wide = |value: c_ulonglong| {
        // SAFETY: as the caller promises.
        unsafe { give(data.cast(), value) }
    };
    let is_host = range.is_host();
    match attribute {
        // SAFETY: as the caller promises.
        CU_POINTER_ATTRIBUTE_CONTEXT => unsafe {
            give(data.cast(), handle_of(CONTEXTS.get(range.context)))
        },
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE => number(if is_host {
            CU_MEMORYTYPE_HOST
        } else {
            CU_MEMORYTYPE_DEVICE
        }),
        CU_POINTER_ATTRIBUTE_DEVICE_POINTER => wide(address),
        CU_POINTER_ATTRIBUTE_HOST_POINTER if is_host => wide(address),
        CU_POINTER_ATTRIBUTE_HOST_POINTER => Err(CUDA_ERROR_INVALID_VALUE),
        CU_POINTER_ATTRIBUTE_BUFFER_ID => wide(range.id),
        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL => number(range.device as c_uint),
        CU_POINTER_ATTRIBUTE_RANGE_START_ADDR | CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR => {
            wide(range.start)
        }
        CU_POINTER_ATTRIBUTE_RANGE_SIZE | CU_POINTER_ATTRIBUTE_MAPPING_SIZE => wide(range.size),
        CU_POINTER_ATTRIBUTE_ACCESS_FLAGS => number(match (range.readable, range.writable) {
            (false, _) => CU_MEM_ACCESS_FLAGS_PROT_NONE,
            (true, false) => CU_MEM_ACCESS_FLAGS_PROT_READ,
            (true, true) => CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
        }),
        // SAFETY: as the caller promises; these attributes are C++ bools.
        CU_POINTER_ATTRIBUTE_MAPPED => unsafe { give(data.cast(), u8::from(range.readable)) },
        CU_POINTER_ATTRIBUTE_SYNC_MEMOPS
        | CU_POINTER_ATTRIBUTE_IS_MANAGED
        | CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE
        | CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE
        | CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE => {
            // SAFETY: as above.
            unsafe { give(data.cast(), 0u8) }
        }
        CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES | CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE => wide(0),
        CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID => match range.kind {
            Kind::Mapping { physical } => wide(physical as c_ulonglong),
            _ => wide(range.id),
        },
        _ => Err(CUDA_ERROR_INVALID_VALUE),
    }
}

fn find(address: CUdeviceptr) -> Option<Range> {
    space::find(&space::read(), address)
}

calls! { TABLE;
    fn cuPointerGetAttribute = (data: *mut c_void, attribute: CUpointer_attribute, address: CUdeviceptr) {
        initialized()?;
        require(!data.is_null())?;
        let range = find(address).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: the C caller answers for the type.
        unsafe { tell(data, attribute, address, &range) }
    }

    fn cuPointerGetAttributes = (
        count: c_uint,
        attributes: In<CUpointer_attribute>,
        data: In<*mut c_void>,
        address: CUdeviceptr,
    ) {
        initialized()?;
        require(count <= 64)?;
        let places = data.get_all(count as usize)?;
        for (attribute, place) in attributes.get_all(count as usize)?.into_iter().zip(places) {
            require(!place.is_null())?;
            // For an unknown address CUDA gives zeros and no error.
            match find(address) {
                Some(range) => {
                    // SAFETY: the C caller answers for the types.
                    unsafe { tell(place, attribute, address, &range).or_else(unavailable)? }
                }
                None => {
                    // SAFETY: as above.
                    unsafe { clear(place, attribute)? }
                }
            }
        }
        Ok(())
    }

    fn cuPointerSetAttribute = (value: In<c_uint>, attribute: CUpointer_attribute, address: CUdeviceptr) {
        initialized()?;
        value.get()?;
        find(address).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // Copies of a software GPU are always synchronous enough for what this attribute asks.
        require(attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS)
    }
}

/// In a list, an attribute that an address does not have is left out.
fn unavailable(result: CUresult) -> Outcome {
    if result == CUDA_ERROR_INVALID_VALUE {
        Ok(())
    } else {
        Err(result)
    }
}

/// # Safety
/// `data` must be valid for the attribute's type.
unsafe fn clear(data: *mut c_void, attribute: CUpointer_attribute) -> Outcome {
    // SAFETY: as the caller promises.
    unsafe {
        match attribute {
            CU_POINTER_ATTRIBUTE_MEMORY_TYPE | CU_POINTER_ATTRIBUTE_ACCESS_FLAGS => {
                give(data.cast(), 0 as c_uint)
            }
            CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL => give(data.cast(), -2 as c_int),
            CU_POINTER_ATTRIBUTE_CONTEXT
            | CU_POINTER_ATTRIBUTE_DEVICE_POINTER
            | CU_POINTER_ATTRIBUTE_HOST_POINTER
            | CU_POINTER_ATTRIBUTE_BUFFER_ID
            | CU_POINTER_ATTRIBUTE_RANGE_START_ADDR
            | CU_POINTER_ATTRIBUTE_RANGE_SIZE
            | CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES
            | CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE
            | CU_POINTER_ATTRIBUTE_MAPPING_SIZE
            | CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR
            | CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID => give(data.cast(), 0 as c_ulonglong),
            CU_POINTER_ATTRIBUTE_SYNC_MEMOPS..=CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE => {
                give(data.cast(), 0u8)
            }
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }
}
