//! What a pointer is.

use super::host::pinned_at;
use crate::export::export;
use crate::memory::{Kind, Region};
use crate::session::{Outcome, Session, session};
use aquifer_cuda::*;
use std::ffi::{c_uint, c_void};

/// What is known of an address.
enum Owner {
    Device { vgpu: u32, region: Region },
    Host(super::host::Pinned),
}

fn owner(session: &Session, address: u64) -> Option<Owner> {
    match session.region(address) {
        Some((vgpu, region)) => Some(Owner::Device { vgpu, region }),
        None => pinned_at(address as usize).map(Owner::Host),
    }
}

/// The value of an attribute as its bytes; none for what this kind of pointer does not have.
fn value(
    session: &Session,
    owner: &Owner,
    attribute: CUpointer_attribute,
    address: u64,
) -> Outcome<Vec<u8>> {
    let word = |value: u32| Ok(value.to_ne_bytes().to_vec());
    let long = |value: u64| Ok(value.to_ne_bytes().to_vec());
    let flag = |value: bool| Ok(vec![u8::from(value)]);
    let (start, bytes, context) = match owner {
        Owner::Device { region, .. } => {
            let context = match region.kind {
                Kind::Allocation { context } => context,
                Kind::Global | Kind::Mapping => 0,
            };
            (region.address, region.bytes, context)
        }
        Owner::Host(pinned) => (pinned.start as u64, pinned.bytes as u64, pinned.context),
    };
    let on_device = matches!(owner, Owner::Device { .. });
    match attribute {
        CU_POINTER_ATTRIBUTE_CONTEXT => long(context),
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE => word(if on_device {
            CU_MEMORYTYPE_DEVICE
        } else {
            CU_MEMORYTYPE_HOST
        }),
        CU_POINTER_ATTRIBUTE_DEVICE_POINTER if on_device => long(address),
        CU_POINTER_ATTRIBUTE_HOST_POINTER if !on_device => long(address),
        CU_POINTER_ATTRIBUTE_BUFFER_ID => long(start),
        CU_POINTER_ATTRIBUTE_SYNC_MEMOPS
        | CU_POINTER_ATTRIBUTE_IS_MANAGED
        | CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE
        | CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE => flag(false),
        CU_POINTER_ATTRIBUTE_MAPPED => flag(true),
        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL => match owner {
            Owner::Device { vgpu, .. } => word(*vgpu),
            Owner::Host(_) => word(
                session
                    .contexts
                    .get(context)
                    .map_or(0, |(_, context)| context.vgpu),
            ),
        },
        CU_POINTER_ATTRIBUTE_RANGE_START_ADDR => long(start),
        CU_POINTER_ATTRIBUTE_RANGE_SIZE => long(bytes),
        CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES => long(0),
        CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE => long(0),
        CU_POINTER_ATTRIBUTE_ACCESS_FLAGS if on_device => word(CU_MEM_ACCESS_FLAGS_PROT_READWRITE),
        _ => Err(CUDA_ERROR_NOT_SUPPORTED),
    }
}

export! {
    /// One attribute of a pointer.
    fn cuPointerGetAttribute(data: *mut c_void, attribute: CUpointer_attribute, address: CUdeviceptr) {
        let session = session()?;
        if data.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let owner = owner(session, address).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let bytes = value(session, &owner, attribute, address)?;
        // SAFETY: the program's buffer has the attribute's size.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast(), bytes.len()) };
        Ok(())
    }

    /// Several attributes of a pointer; one that it does not have, or all for a pointer that is not known, is zero.
    fn cuPointerGetAttributes(
        count: c_uint,
        attributes: *mut CUpointer_attribute,
        data: *mut *mut c_void,
        address: CUdeviceptr,
    ) {
        let session = session()?;
        if count == 0 || attributes.is_null() || data.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let owner = owner(session, address);
        for index in 0..count as usize {
            // SAFETY: the arrays have `count` elements by the caller's promise, and each buffer its attribute's size.
            unsafe {
                let (attribute, place) = (*attributes.add(index), *data.add(index));
                if place.is_null() {
                    return Err(CUDA_ERROR_INVALID_VALUE);
                }
                let bytes = match &owner {
                    Some(owner) => value(session, owner, attribute, address).unwrap_or_default(),
                    None => Vec::new(),
                };
                if bytes.is_empty() {
                    place.cast::<u8>().write_bytes(0, zero_bytes(attribute));
                } else {
                    std::ptr::copy_nonoverlapping(bytes.as_ptr(), place.cast(), bytes.len());
                }
            }
        }
        Ok(())
    }
}

/// Size of an attribute's value in bytes.
fn zero_bytes(attribute: CUpointer_attribute) -> usize {
    match attribute {
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE
        | CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        | CU_POINTER_ATTRIBUTE_ACCESS_FLAGS => 4,
        CU_POINTER_ATTRIBUTE_SYNC_MEMOPS
        | CU_POINTER_ATTRIBUTE_IS_MANAGED
        | CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE
        | CU_POINTER_ATTRIBUTE_MAPPED
        | CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE => 1,
        _ => 8,
    }
}
