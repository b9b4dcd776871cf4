//! From a frame to what carries it out.

use crate::copies_in::Rectangle;
use crate::session::{End, Session};
use crate::waits::Answer;
use aquifer_protocol::generated::*;
use aquifer_protocol::{Header, Message, decode};

/// A frame whose tail is read on its own.
pub enum Bulk {
    SourceData(SourceData),
    MemcpyHtoD(MemcpyHtoD),
    MemcpyHtoD2D(MemcpyHtoD2D),
}

impl Bulk {
    /// The fixed part of a bulk frame of a client.
    pub fn decode(header: &Header, body: &[u8]) -> Result<Bulk, End> {
        match Call::decode(header.call, body)? {
            Call::SourceData(call, _) => Ok(Bulk::SourceData(call)),
            Call::MemcpyHtoD(call, _) => Ok(Bulk::MemcpyHtoD(call)),
            Call::MemcpyHtoD2D(call, _) => Ok(Bulk::MemcpyHtoD2D(call)),
            _ => Err(End::Garbage(format!(
                "call {:#x} is not one of a client's with data",
                header.call
            ))),
        }
    }
}

impl Session {
    /// Carries out any frame but a launch. Only what is no frame of a client ends the session.
    pub fn carry_out(&mut self, header: &Header, body: &[u8]) -> Result<(), End> {
        let reply_to = header.sequence;
        match Call::decode(header.call, body)? {
            Call::Attach(_) | Call::Resume(_) => {
                return Err(End::Garbage("the session has begun already".into()));
            }
            Call::Goodbye(_) => return Err(End::Left),
            Call::Alive(_) => {}
            Call::SourceData(..) | Call::MemcpyHtoD(..) | Call::MemcpyHtoD2D(..) => {
                return Err(End::Garbage("a frame with data came without it".into()));
            }
            Call::Launch(..) => self.launch(header, body)?,
            Call::Counters(call) => {
                self.counters.not_supported = self
                    .counters
                    .not_supported
                    .saturating_add(call.not_supported);
            }

            Call::ContextSynchronize(call) => {
                self.context_synchronize(call.context, Answer::Context(reply_to))?
            }
            Call::StreamSynchronize(call) => {
                self.stream_synchronize(call.context, call.stream, Answer::Stream(reply_to))?
            }
            Call::EventSynchronize(call) => {
                self.event_synchronize(call.event, Answer::Event(reply_to))?
            }
            Call::MemcpyDtoH(MemcpyDtoH {
                source,
                bytes,
                context,
                stream,
                destination,
            }) => {
                self.copy_out(
                    context,
                    stream,
                    Rectangle::line(source, bytes),
                    destination,
                    Answer::Copy(reply_to),
                )?;
            }
            Call::MemcpyDtoHAsync(MemcpyDtoHAsync {
                source,
                bytes,
                context,
                stream,
                destination,
            }) => {
                self.copy_out(
                    context,
                    stream,
                    Rectangle::line(source, bytes),
                    destination,
                    Answer::Nothing,
                )?;
            }
            Call::MemcpyDtoH2D(MemcpyDtoH2D {
                source,
                pitch,
                width,
                rows,
                context,
                stream,
                destination,
            }) => {
                let from = Rectangle {
                    address: source,
                    pitch,
                    width,
                    rows,
                };
                self.copy_out(context, stream, from, destination, Answer::Copy2D(reply_to))?;
            }
            Call::MemcpyDtoH2DAsync(MemcpyDtoH2DAsync {
                source,
                pitch,
                width,
                rows,
                context,
                stream,
                destination,
            }) => {
                let from = Rectangle {
                    address: source,
                    pitch,
                    width,
                    rows,
                };
                self.copy_out(context, stream, from, destination, Answer::Nothing)?;
            }

            Call::ContextCreate(call) => {
                let outcome = self.context_create(&call);
                self.told(header, call.context, outcome);
            }
            Call::ContextDestroy(call) => {
                let outcome = self.context_destroy(&call);
                self.told(header, call.context, outcome);
            }
            Call::StreamCreate(call) => {
                let outcome = self.stream_create(&call);
                self.told(header, call.context, outcome);
            }
            Call::StreamDestroy(call) => {
                let outcome = self.stream_destroy(&call);
                self.told(header, call.context, outcome);
            }
            Call::StreamWaitEvent(call) => {
                let outcome = self.stream_wait_event(&call);
                self.told(header, call.context, outcome);
            }
            Call::EventCreate(call) => {
                let outcome = self.event_create(&call);
                self.told(header, call.context, outcome);
            }
            Call::EventDestroy(call) => {
                let context = self.context_of_event(call.event);
                let outcome = self.event_destroy(&call);
                self.told(header, context, outcome);
            }
            Call::EventRecord(call) => {
                let outcome = self.event_record(&call);
                self.told(header, call.context, outcome);
            }
            Call::ModuleUnload(call) => {
                let context = self.context_of_module(call.module);
                let outcome = self.module_unload(call.module);
                self.told(header, context, outcome);
            }
            Call::LibraryUnload(call) => {
                let outcome = self.library_unload(call.library);
                self.told(header, u32::MAX, outcome);
            }
            Call::FunctionSetAttribute(call) => {
                let outcome = self.function_set_attribute(&call);
                self.told(header, call.context, outcome);
            }
            Call::FunctionSetCacheConfig(call) => {
                let outcome = self.function_set_cache_config(&call);
                self.told(header, call.context, outcome);
            }
            Call::MemAlloc(call) => {
                let outcome = self.mem_alloc(&call);
                self.told(header, u32::MAX, outcome);
            }
            Call::MemFree(call) => {
                let outcome = self.mem_free(&call);
                self.told(header, u32::MAX, outcome);
            }
            Call::MemTrim(call) => {
                let outcome = self.mem_trim(&call);
                self.told(header, u32::MAX, outcome);
            }
            Call::MemRelease(call) => {
                let outcome = self.mem_release(&call);
                self.told(header, u32::MAX, outcome);
            }
            Call::MemcpyDtoD(call) => {
                let outcome = self.memcpy_dtod(&call);
                self.told(header, call.context, outcome);
            }
            Call::MemcpyDtoD2D(call) => {
                let outcome = self.memcpy_dtod_2d(&call);
                self.told(header, call.context, outcome);
            }
            Call::MemSet(call) => {
                let outcome = self.mem_set(&call);
                self.told(header, call.context, outcome);
            }
            request => self.reply(reply_to, request),
        }
        Ok(())
    }
}

/// Whether a body can be read as message `M`: for the first frame, before there is a session.
pub fn read<M: Message>(body: &[u8]) -> Result<M, End> {
    Ok(decode::<M>(body)?.0)
}
