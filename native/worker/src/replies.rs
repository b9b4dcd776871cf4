//! Answers to requests that never wait for the GPU.

use crate::driver::is_sticky;
use crate::session::Session;
use aquifer_cuda::*;
use aquifer_protocol::Message;
use aquifer_protocol::generated::*;

/// The result code of an outcome.
fn code<T>(outcome: &Result<T, CUresult>) -> u32 {
    outcome.as_ref().err().copied().unwrap_or(CUDA_SUCCESS)
}

impl Session {
    /// Answers the requests that never wait for the GPU.
    pub fn reply(&mut self, reply_to: u64, request: Call<'_>) {
        match request {
            Call::RangeRefused(call) => {
                let outcome = self.range_refused(&call);
                let (base, bytes) = outcome.unwrap_or_default();
                self.say(
                    u32::MAX,
                    code(&outcome),
                    |result| RangeRefusedReply {
                        reply_to,
                        result,
                        base,
                        bytes,
                    },
                    &[],
                );
            }
            Call::ContextSetLimit(call) => {
                let outcome = self.context_set_limit(&call);
                self.say(
                    call.context,
                    code(&outcome),
                    |result| ContextSetLimitReply { reply_to, result },
                    &[],
                );
            }
            Call::ContextGetLimit(call) => {
                let outcome = self.context_get_limit(&call);
                let value = outcome.unwrap_or_default();
                self.say(
                    call.context,
                    code(&outcome),
                    |result| ContextGetLimitReply {
                        reply_to,
                        result,
                        value,
                    },
                    &[],
                );
            }
            Call::StreamQuery(call) => {
                let outcome = self.stream_query(call.context, call.stream);
                self.say(
                    call.context,
                    code(&outcome),
                    |result| StreamQueryReply { reply_to, result },
                    &[],
                );
            }
            Call::EventQuery(call) => {
                let context = self.context_of_event(call.event);
                let outcome = self.event_query(call.event);
                self.say(
                    context,
                    code(&outcome),
                    |result| EventQueryReply { reply_to, result },
                    &[],
                );
            }
            Call::EventElapsed(call) => {
                let context = self.context_of_event(call.start);
                let outcome = self.event_elapsed(&call);
                let milliseconds = outcome.unwrap_or_default();
                self.say(
                    context,
                    code(&outcome),
                    |result| EventElapsedReply {
                        reply_to,
                        result,
                        milliseconds,
                    },
                    &[],
                );
            }
            Call::MemReserve(call) => {
                let (outcome, available_bytes) = self.mem_reserve(&call);
                self.say(
                    u32::MAX,
                    code(&outcome),
                    |result| MemReserveReply {
                        reply_to,
                        result,
                        available_bytes,
                    },
                    &[],
                );
            }
            Call::MemInfo(call) => {
                let outcome = self.mem_info(&call);
                let (available_bytes, limit_bytes) = outcome.unwrap_or_default();
                let reply = |result| MemInfoReply {
                    reply_to,
                    result,
                    available_bytes,
                    limit_bytes,
                };
                self.say(u32::MAX, code(&outcome), reply, &[]);
            }
            Call::AddressReserve(call) => {
                let outcome = self.address_reserve(&call);
                let address = outcome.unwrap_or_default();
                self.say(
                    u32::MAX,
                    code(&outcome),
                    |result| AddressReserveReply {
                        reply_to,
                        result,
                        address,
                    },
                    &[],
                );
            }
            Call::AddressFree(call) => {
                let outcome = self.address_free(&call);
                self.say(
                    u32::MAX,
                    code(&outcome),
                    |result| AddressFreeReply { reply_to, result },
                    &[],
                );
            }
            Call::MemCreate(call) => {
                let outcome = self.mem_create(&call);
                self.say(
                    u32::MAX,
                    code(&outcome),
                    |result| MemCreateReply { reply_to, result },
                    &[],
                );
            }
            Call::MemMap(call) => {
                let outcome = self.mem_map(&call);
                self.say(
                    u32::MAX,
                    code(&outcome),
                    |result| MemMapReply { reply_to, result },
                    &[],
                );
            }
            Call::MemUnmap(call) => {
                let outcome = self.mem_unmap(&call);
                self.say(
                    u32::MAX,
                    code(&outcome),
                    |result| MemUnmapReply { reply_to, result },
                    &[],
                );
            }
            Call::MemSetAccess(call) => {
                let outcome = self.mem_set_access(&call);
                self.say(
                    u32::MAX,
                    code(&outcome),
                    |result| MemSetAccessReply { reply_to, result },
                    &[],
                );
            }
            other => self.reply_on_code(reply_to, other),
        }
    }

    /// Answers what is asked about modules, libraries and functions.
    fn reply_on_code(&mut self, reply_to: u64, request: Call<'_>) {
        match request {
            Call::ModuleLoad(call, tail) => {
                let (outcome, (info, error)) = self.module_load(&call, tail);
                let (info_bytes, error_bytes) = (info.len() as u32, error.len() as u32);
                let reply = |result| ModuleLoadReply {
                    reply_to,
                    result,
                    info_bytes,
                    error_bytes,
                };
                self.say(call.context, code(&outcome), reply, &[info, error].concat());
            }
            Call::LibraryLoad(call, tail) => {
                let (outcome, (info, error)) = self.library_load(&call, tail);
                let (info_bytes, error_bytes) = (info.len() as u32, error.len() as u32);
                let reply = |result| LibraryLoadReply {
                    reply_to,
                    result,
                    info_bytes,
                    error_bytes,
                };
                self.say(u32::MAX, code(&outcome), reply, &[info, error].concat());
            }
            Call::ModuleGetFunction(call, name) => {
                let context = self.context_of_module(call.module);
                let outcome = self.module_get_function(&call, name);
                let (attributes, parameters, tail) = layout(&outcome);
                let reply = |result| ModuleGetFunctionReply {
                    reply_to,
                    result,
                    attributes,
                    parameters,
                    reserved: 0,
                };
                self.say(context, code(&outcome), reply, &tail);
            }
            Call::LibraryGetKernel(call, name) => {
                let outcome = self.library_get_kernel(&call, name);
                let (attributes, parameters, tail) = layout(&outcome);
                let reply = |result| LibraryGetKernelReply {
                    reply_to,
                    result,
                    attributes,
                    parameters,
                    reserved: 0,
                };
                self.say(u32::MAX, code(&outcome), reply, &tail);
            }
            Call::KernelGetFunction(call) => {
                let outcome = self.kernel_get_function(&call);
                let (attributes, parameters, tail) = layout(&outcome);
                let reply = |result| KernelGetFunctionReply {
                    reply_to,
                    result,
                    attributes,
                    parameters,
                    reserved: 0,
                };
                self.say(call.context, code(&outcome), reply, &tail);
            }
            Call::ModuleGetGlobal(call, name) => {
                let context = self.context_of_module(call.module);
                let outcome = self.module_get_global(&call, name);
                let (address, bytes) = outcome.unwrap_or_default();
                self.say(
                    context,
                    code(&outcome),
                    |result| ModuleGetGlobalReply {
                        reply_to,
                        result,
                        address,
                        bytes,
                    },
                    &[],
                );
            }
            Call::LibraryGetGlobal(call, name) => {
                let outcome = self.library_get_global(&call, name);
                let (address, bytes) = outcome.unwrap_or_default();
                self.say(
                    call.context,
                    code(&outcome),
                    |result| LibraryGetGlobalReply {
                        reply_to,
                        result,
                        address,
                        bytes,
                    },
                    &[],
                );
            }
            Call::ModuleFunctions(call) => {
                let context = self.context_of_module(call.module);
                let outcome = self.module_functions(&call);
                let result = code(&outcome);
                let (count, names) = outcome.unwrap_or_default();
                self.say(
                    context,
                    result,
                    |result| ModuleFunctionsReply {
                        reply_to,
                        result,
                        count,
                    },
                    &names,
                );
            }
            Call::LibraryKernels(call) => {
                let outcome = self.library_kernels(&call);
                let result = code(&outcome);
                let (count, names) = outcome.unwrap_or_default();
                self.say(
                    u32::MAX,
                    result,
                    |result| LibraryKernelsReply {
                        reply_to,
                        result,
                        count,
                    },
                    &names,
                );
            }
            Call::LibraryGetModule(call) => {
                let outcome = self.library_get_module(&call);
                self.say(
                    call.context,
                    code(&outcome),
                    |result| LibraryGetModuleReply { reply_to, result },
                    &[],
                );
            }
            Call::OccupancyBlocks(call) => {
                let outcome = self.occupancy_blocks(&call);
                let blocks = outcome.unwrap_or_default();
                self.say(
                    call.context,
                    code(&outcome),
                    |result| OccupancyBlocksReply {
                        reply_to,
                        result,
                        blocks,
                    },
                    &[],
                );
            }
            Call::OccupancyBlockSize(call) => {
                let outcome = self.occupancy_block_size(&call);
                let (grid, block) = outcome.unwrap_or_default();
                self.say(
                    call.context,
                    code(&outcome),
                    |result| OccupancyBlockSizeReply {
                        reply_to,
                        result,
                        grid,
                        block,
                    },
                    &[],
                );
            }
            Call::OccupancySharedMemory(call) => {
                let outcome = self.occupancy_shared_memory(&call);
                let bytes = outcome.unwrap_or_default();
                self.say(
                    call.context,
                    code(&outcome),
                    |result| OccupancySharedMemoryReply {
                        reply_to,
                        result,
                        bytes,
                    },
                    &[],
                );
            }
            // Every other call was taken before this point; one that the table gains fails the tests of coverage.
            _ => {}
        }
    }

    /// Adds a reply; an error that makes its context unusable is remembered.
    fn say<M: Message>(
        &mut self,
        context: u32,
        result: CUresult,
        reply: impl FnOnce(u32) -> M,
        tail: &[u8],
    ) {
        self.counters.round_trips += 1;
        if is_sticky(result) {
            self.bury(context, result);
        }
        self.note_answer();
        self.outbox.push(&reply(result), tail);
    }
}

/// Attributes, number of parameters, and offset and size of each as the tail.
fn layout(outcome: &Result<crate::code::Facts, CUresult>) -> ([i32; 16], u32, Vec<u8>) {
    let Ok((attributes, parameters)) = outcome else {
        return ([0; 16], 0, Vec::new());
    };
    let pair = |it: &(u32, u32)| [it.0.to_le_bytes(), it.1.to_le_bytes()].concat();
    (
        *attributes,
        parameters.len() as u32,
        parameters.iter().flat_map(pair).collect(),
    )
}
