//! The module as its user sees it.

use crate::error::{Fault, LoadError, Place};
use crate::exec::launch::{self, Launch, Stats};
use crate::exec::op::Isa;
use crate::exec::program::Program;
use crate::exec::resolve::Memory;
use crate::lower::lower;
use crate::text;
use crate::text::syntax;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;

/// One parameter of a kernel, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    pub offset: u32,
    pub size: u32,
    pub align: u32,
}

/// What can be known of a kernel without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    pub name: String,
    pub params: Vec<Param>,
    /// Static shared memory, in bytes.
    pub shared_bytes: u32,
    pub local_bytes_per_thread: u32,
    /// 32-bit registers that the kernel and its callees need at once.
    pub registers: u32,
    /// The product of `.maxntid`, where the kernel states one.
    pub max_threads_per_block: Option<u32>,
    /// `.reqntid`.
    pub required_block: Option<[u32; 3]>,
}

/// The state space of a module variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalSpace {
    Global,
    Const,
}

/// A variable that needs device memory before kernels run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    pub name: String,
    /// In bytes.
    pub size: u64,
    pub align: u32,
    pub space: GlobalSpace,
    /// Defined by another module.
    pub external: bool,
    /// The first bytes; those up to `size` are zero.
    pub init: Vec<u8>,
    /// (offset, symbol): the address of the symbol is to be added to the little-endian u64 at the offset.
    pub relocations: Vec<(u64, String)>,
}

/// Parsed and checked PTX.
pub struct Module {
    kernels: Vec<Kernel>,
    programs: Vec<Program>,
    globals: Vec<Global>,
    bound: bool,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.kernels.iter().map(|k| k.name.as_str()).collect();
        f.debug_struct("Module")
            .field("kernels", &names)
            .field("bound", &self.bound)
            .finish()
    }
}

impl Module {
    /// Parses a module for a device of compute capability `target_sm` (80 is 8.0). Whatever could not be run exactly is
    /// refused here, with its line and column.
    pub fn parse(source: &[u8], target_sm: u32) -> Result<Module, LoadError> {
        Module::parse_for(source, target_sm, Isa::detect())
    }

    /// As `parse`, without the host's vector instructions: the same results, slowly.
    pub fn parse_portable(source: &[u8], target_sm: u32) -> Result<Module, LoadError> {
        Module::parse_for(source, target_sm, Isa::Portable)
    }

    fn parse_for(source: &[u8], target_sm: u32, isa: Isa) -> Result<Module, LoadError> {
        // Programs hand over C strings, some with their terminator.
        let end = source
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(source.len());
        let text = std::str::from_utf8(&source[..end]).map_err(|error| {
            let before = &source[..error.valid_up_to()];
            let line = before.iter().filter(|&&byte| byte == b'\n').count() as u32 + 1;
            let column = before
                .iter()
                .rev()
                .take_while(|&&byte| byte != b'\n')
                .count() as u32
                + 1;
            Place { line, column }.error("this is not UTF-8 text")
        })?;
        let parsed = text::parse(text, target_sm)?;
        let globals = globals(&parsed)?;
        let lowered = lower(&parsed, isa)?;
        Ok(Module {
            kernels: lowered.kernels,
            programs: lowered.programs,
            globals,
            bound: false,
        })
    }

    /// The kernels, in the order of the text.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// The variables that need device memory.
    pub fn globals(&self) -> &[Global] {
        &self.globals
    }

    /// Tells the device address of each variable; afterwards kernels may run. Fails with the name of the first variable
    /// that `address` does not know and that a kernel uses.
    pub fn bind(&mut self, mut address: impl FnMut(&str) -> Option<u64>) -> Result<(), String> {
        for program in &mut self.programs {
            program.bind(&mut address)?;
        }
        self.bound = true;
        Ok(())
    }
}

/// Runs a kernel to its end on up to `threads` threads of the host. `stop`, once set, ends it within a millisecond.
pub fn launch(
    module: &Module,
    kernel: usize,
    launch: &Launch,
    memory: &dyn Memory,
    stop: &AtomicBool,
    threads: usize,
) -> Result<Stats, Fault> {
    let Some(program) = module.programs.get(kernel) else {
        return Err(Fault::InvalidLaunch(format!(
            "there is no kernel {kernel}; the module has {}",
            module.kernels.len()
        )));
    };
    if !module.bound {
        return Err(Fault::InvalidLaunch(
            "the module's variables have no addresses yet: bind it first".into(),
        ));
    }
    launch::run(program, launch, memory, stop, threads)
}

fn globals(parsed: &syntax::Source) -> Result<Vec<Global>, LoadError> {
    let known: HashSet<&str> = parsed.variables.iter().map(|v| v.name).collect();
    let mut list: Vec<Global> = Vec::new();
    let mut listed: HashMap<&str, usize> = HashMap::new();
    for variable in &parsed.variables {
        let space = match variable.space {
            syntax::Space::Global => GlobalSpace::Global,
            syntax::Space::Const => GlobalSpace::Const,
            _ => continue,
        };
        for (_, symbol) in &variable.initial.symbols {
            if !known.contains(symbol.as_str()) {
                return Err(variable.place.error(format!(
                    "its initial value names `{symbol}`, which is not a variable"
                )));
            }
        }
        let global = Global {
            name: variable.name.to_owned(),
            size: variable.size,
            align: variable.align,
            space,
            external: variable.external,
            init: variable.initial.bytes.clone(),
            relocations: variable.initial.symbols.clone(),
        };
        // A declaration gives way to the definition.
        match listed.get(variable.name) {
            Some(&at) if list[at].external => list[at] = global,
            Some(_) => {}
            None => {
                listed.insert(variable.name, list.len());
                list.push(global);
            }
        }
    }
    Ok(list)
}
