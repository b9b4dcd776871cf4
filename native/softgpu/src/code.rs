//! Code that can run: parsed PTX, with its globals placed in the memory of one context. The only user of the
//! interpreter.

use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use aquifer_cuda::*;
use aquifer_ptx::{Access, Fault, Launch, LoadError, Memory, Module};

use crate::context::Context;
use crate::image::Refusal;
use crate::memory::{self, pointer};
use crate::space::{self, View};

/// A module's global as a program sees it.
pub struct GlobalPlace {
    pub name: String,
    pub address: u64,
    pub size: u64,
    /// The range's id: its address may belong to another by the time it is given back.
    range: u64,
}

/// Code in a context.
pub struct Code {
    module: Module,
    pub globals: Vec<GlobalPlace>,
}

/// Parses PTX; the refusal says where it is wrong.
pub fn parse(text: &[u8], target_sm: u32) -> Result<Module, Refusal> {
    Module::parse(text, target_sm).map_err(
        |LoadError {
             line,
             column,
             message,
         }| {
            (
                CUDA_ERROR_INVALID_PTX,
                format!("ptx error: line {line}, column {column}: {message}"),
            )
        },
    )
}

impl Code {
    /// Places the globals of a module in a context's memory and fills them.
    pub fn place(mut module: Module, context: &Context) -> Result<Code, Refusal> {
        let mut globals: Vec<GlobalPlace> = Vec::new();
        if let Some(global) = module.globals().iter().find(|global| global.external) {
            let message = format!(
                "ptx error: the variable {} is declared but not defined",
                global.name
            );
            return Err((CUDA_ERROR_INVALID_PTX, message));
        }
        let allocated = module.globals().iter().try_for_each(|global| {
            let size = global.size.max(1);
            let address = memory::allocate(context, size)?;
            let range = space::find(&space::read(), address).map_or(0, |range| range.id);
            globals.push(GlobalPlace {
                name: global.name.clone(),
                address,
                size: global.size,
                range,
            });
            Ok(())
        });
        if let Err(code) = allocated {
            release(&globals);
            return Err((code, "no memory for the module's globals".into()));
        }
        let address_of = |name: &str| {
            globals
                .iter()
                .find(|global| global.name == name)
                .map(|global| global.address)
        };
        for (global, place) in module.globals().iter().zip(&globals) {
            let length = global.init.len().min(place.size as usize);
            // SAFETY: the range was just allocated with `size` bytes; parts of the arena that were used before may
            // hold anything, and PTX promises zeros.
            unsafe {
                pointer::<u8>(place.address).write_bytes(0, place.size as usize);
                std::ptr::copy_nonoverlapping(global.init.as_ptr(), pointer(place.address), length);
            }
            for (offset, symbol) in &global.relocations {
                let Some(address) = address_of(symbol) else {
                    continue;
                };
                if offset.checked_add(8).is_some_and(|end| end <= place.size) {
                    // SAFETY: eight bytes inside the range. The initialiser's bytes there are the offset to add.
                    unsafe {
                        let slot: *mut u64 = pointer(place.address + offset);
                        slot.write_unaligned(slot.read_unaligned().wrapping_add(address));
                    }
                }
            }
        }
        match module.bind(address_of) {
            Ok(()) => Ok(Code { module, globals }),
            Err(name) => {
                release(&globals);
                Err((
                    CUDA_ERROR_INVALID_PTX,
                    format!("ptx error: no address for the variable {name}"),
                ))
            }
        }
    }

    /// Runs a kernel to its end. The error is what the context returns from now on, with a sentence.
    pub fn run(
        &self,
        kernel: usize,
        launch: &Launch,
        context: &Context,
        threads: usize,
    ) -> Result<(), Refusal> {
        let memory = Reachable(View::of(context.device.index));
        let done = aquifer_ptx::launch(
            &self.module,
            kernel,
            launch,
            &memory,
            &context.stop,
            threads,
        );
        let Err(fault) = done else { return Ok(()) };
        let code = match fault {
            Fault::IllegalAddress { .. } => CUDA_ERROR_ILLEGAL_ADDRESS,
            Fault::Misaligned { .. } => CUDA_ERROR_MISALIGNED_ADDRESS,
            Fault::IllegalInstruction { .. } => CUDA_ERROR_ILLEGAL_INSTRUCTION,
            Fault::Assert { .. } => CUDA_ERROR_ASSERT,
            Fault::StackOverflow { .. } => CUDA_ERROR_HARDWARE_STACK_ERROR,
            Fault::TimedOut { .. } => CUDA_ERROR_LAUNCH_TIMEOUT,
            Fault::InvalidLaunch(_) => CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
            Fault::Stopped if context.stop.load(Acquire) => return Ok(()),
            _ => CUDA_ERROR_LAUNCH_FAILED,
        };
        Err((code, fault.to_string()))
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        release(&self.globals);
    }
}

fn release(globals: &[GlobalPlace]) {
    for global in globals {
        // The context may have gone before, and its memory with it.
        let _ = memory::discard(global.address, global.range);
    }
}

/// What a kernel can reach.
struct Reachable(Arc<View>);

impl Memory for Reachable {
    fn translate(&self, address: u64, bytes: u32, access: Access) -> Option<*mut u8> {
        let window = self.0.window(address)?;
        let end = address.checked_add(u64::from(bytes))?;
        let allowed = access == Access::Read || window.writable;
        (end <= window.end && allowed).then(|| pointer(address))
    }

    fn window(&self, address: u64) -> Option<(u64, u64, *mut u8)> {
        // Without the kind of access only windows that allow every kind can be given.
        let window = self.0.window(address).filter(|window| window.writable)?;
        Some((window.start, window.end, pointer(window.start)))
    }
}
