//! The interface of the PTX interpreter without the interpreter, for builds from before it: outlines of kernels are
//! read, and running one is refused.

#![allow(clippy::all)]

use std::sync::atomic::AtomicBool;
pub struct LoadError {
    pub line: u32,
    pub column: u32,
    pub message: String,
}
pub struct Param {
    pub offset: u32,
    pub size: u32,
    pub align: u32,
}
pub struct Kernel {
    pub name: String,
    pub params: Vec<Param>,
    pub shared_bytes: u32,
    pub local_bytes_per_thread: u32,
    pub registers: u32,
    pub max_threads_per_block: Option<u32>,
    pub required_block: Option<[u32; 3]>,
}
#[derive(PartialEq, Clone, Copy)]
pub enum Space {
    Global,
    Const,
}
pub struct Global {
    pub name: String,
    pub external: bool,
    pub size: u64,
    pub align: u32,
    pub space: Space,
    pub init: Vec<u8>,
    pub relocations: Vec<(u64, String)>,
}
pub struct Module {
    k: Vec<Kernel>,
    g: Vec<Global>,
}
impl Module {
    pub fn parse(s: &[u8], _sm: u32) -> Result<Module, LoadError> {
        let t = String::from_utf8_lossy(s).to_string();
        if !t.contains(".version") {
            return Err(LoadError {
                line: 1,
                column: 1,
                message: "expected .version".into(),
            });
        }
        let mut k = vec![];
        for p in t.split(".entry").skip(1) {
            let name: String = p
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let inside = p
                .split('(')
                .nth(1)
                .unwrap_or("")
                .split(')')
                .next()
                .unwrap_or("");
            let mut off = 0;
            let mut params = vec![];
            for q in inside.split(',').filter(|q| !q.trim().is_empty()) {
                let sz = if q.contains("64") { 8 } else { 4 };
                off = (off + sz - 1) / sz * sz;
                params.push(Param {
                    offset: off,
                    size: sz,
                    align: sz,
                });
                off += sz;
            }
            k.push(Kernel {
                name,
                params,
                shared_bytes: 0,
                local_bytes_per_thread: 0,
                registers: 16,
                max_threads_per_block: None,
                required_block: None,
            });
        }
        Ok(Module { k, g: vec![] })
    }
    pub fn kernels(&self) -> &[Kernel] {
        &self.k
    }
    pub fn globals(&self) -> &[Global] {
        &self.g
    }
    pub fn bind(&mut self, _f: impl FnMut(&str) -> Option<u64>) -> Result<(), String> {
        Ok(())
    }
}
#[derive(Clone, Copy, PartialEq)]
pub enum Access {
    Read,
    Write,
    Atomic,
}
pub trait Memory: Sync {
    fn translate(&self, a: u64, b: u32, c: Access) -> Option<*mut u8>;
    fn window(&self, a: u64) -> Option<(u64, u64, *mut u8)>;
}
pub struct Launch<'a> {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared_bytes: u32,
    pub params: &'a [u8],
}
pub struct Stats {
    pub lane_instructions: u64,
}
#[derive(Debug)]
pub enum Fault {
    InvalidLaunch(String),
    IllegalAddress {
        address: u64,
        kernel: String,
        line: u32,
    },
    Misaligned {
        address: u64,
        kernel: String,
        line: u32,
    },
    IllegalInstruction {
        kernel: String,
        line: u32,
    },
    Assert {
        kernel: String,
        line: u32,
    },
    StackOverflow {
        kernel: String,
        line: u32,
    },
    Stopped,
}
impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}
pub fn launch<M: Memory>(
    _m: &Module,
    _k: usize,
    _l: &Launch,
    _mem: &M,
    _stop: &AtomicBool,
    _t: usize,
) -> Result<Stats, Fault> {
    Err(Fault::InvalidLaunch(
        "this build has no interpreter: set SOFTGPU_NULL_KERNELS=1".into(),
    ))
}
