//! Puts kernels together with the functions they call.

use super::builder::Builder;
use super::constants::Constants;
use super::emit::{Callee, Code, Output};
use super::limits::{LOCAL_BYTES, MODULE_OPERATIONS};
use super::names::{SharedLayout, Symbols};
use crate::error::LoadError;
use crate::exec::op::Isa;
use crate::exec::program::{Layout, Program};
use crate::module::{Kernel, Param};
use crate::text::syntax::{Function, Operand, Source, Space, Statement};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Local memory kept for frames of functions that call themselves, in bytes a lane.
const RECURSION_BYTES: u32 = 64 << 10;

/// A longer chain of calls is given the stack of a recursive one.
const MAX_CALL_CHAIN: usize = 256;

pub(crate) struct Lowered {
    pub kernels: Vec<Kernel>,
    pub programs: Vec<Program>,
}

/// Lowers every function of a module; each kernel becomes a program of its own.
pub(crate) fn lower(source: &Source, isa: Isa) -> Result<Lowered, LoadError> {
    let symbols = Symbols::new(source)?;
    let mut lowered = Lowered {
        kernels: Vec::new(),
        programs: Vec::new(),
    };
    let mut reached = BTreeSet::new();
    let mut operations = 0;
    for (number, function) in source.functions.iter().enumerate() {
        if function.kernel && function.body.is_some() {
            let functions = reach(&symbols, number);
            let (kernel, program) = program(&symbols, isa, number, &functions)?;
            operations += program.ops.len() + program.extra.len();
            if operations > MODULE_OPERATIONS {
                return Err(function.place.error(
                    "this module has too many instructions for its kernels and what they call",
                ));
            }
            reached.extend(functions);
            lowered.kernels.push(kernel);
            lowered.programs.push(program);
        }
    }
    // Functions that no kernel calls must be right all the same.
    for (number, function) in source.functions.iter().enumerate() {
        if !function.kernel && function.body.is_some() && !reached.contains(&number) {
            let shared = shared_layout(&symbols, &reach(&symbols, number))?;
            let mut constants = Constants::default();
            let mut builder = Builder::new(isa, &symbols, &shared, &mut constants, number);
            builder.function()?;
            Code::new(builder)?;
        }
    }
    Ok(lowered)
}

/// The function and all it may call, itself first.
fn reach(symbols: &Symbols, root: usize) -> Vec<usize> {
    let mut list = vec![root];
    let mut listed = HashSet::from([root]);
    let mut at = 0;
    while let Some(&number) = list.get(at) {
        at += 1;
        for statement in symbols.function(number).body.iter().flatten() {
            let Statement::Instruction(instruction) = statement else {
                continue;
            };
            if instruction.opcode != "call" {
                continue;
            }
            for operand in &instruction.operands {
                if let Operand::Name {
                    name,
                    component: None,
                    ..
                } = operand
                    && let Some(&callee) = symbols.functions.get(name)
                    && symbols.function(callee).body.is_some()
                    && listed.insert(callee)
                {
                    list.push(callee);
                }
            }
        }
    }
    list
}

fn shared_layout<'a>(
    symbols: &Symbols<'a>,
    functions: &[usize],
) -> Result<SharedLayout<'a>, LoadError> {
    let mut layout = SharedLayout::default();
    for &number in functions {
        for statement in symbols.function(number).body.iter().flatten() {
            match statement {
                Statement::Variable(variable) if variable.space == Space::Shared => {
                    layout.add(Some(number), variable)?;
                }
                Statement::Instruction(instruction) => {
                    for name in instruction.operands.iter().filter_map(named) {
                        if let Some(variable) = symbols
                            .variables
                            .get(name)
                            .filter(|v| v.space == Space::Shared)
                        {
                            layout.add(None, variable)?;
                        }
                    }
                }
                _ => {}
            }
        }
    }
    layout.finish();
    Ok(layout)
}

fn named<'a>(operand: &Operand<'a>) -> Option<&'a str> {
    match operand {
        Operand::Name { name, .. } | Operand::Sum { name, .. } => Some(name),
        Operand::Address { name, .. } => *name,
        _ => None,
    }
}

fn program(
    symbols: &Symbols,
    isa: Isa,
    kernel: usize,
    functions: &[usize],
) -> Result<(Kernel, Program), LoadError> {
    let shared = shared_layout(symbols, functions)?;
    let mut constants = Constants::default();
    let mut codes: HashMap<usize, Code> = HashMap::new();
    let mut params = Vec::new();
    let mut param_bytes = 0;
    for &number in functions {
        let mut builder = Builder::new(isa, symbols, &shared, &mut constants, number);
        builder.function()?;
        if number == kernel {
            params = std::mem::take(&mut builder.kernel_params);
            param_bytes = builder.param_bytes;
        }
        codes.insert(number, Code::new(builder)?);
    }
    let mut places = HashMap::new();
    let mut start = 0;
    for &number in functions {
        let code = &codes[&number];
        let local_bytes = code.local_bytes;
        places.insert(number, Callee { start, local_bytes });
        start += code.operations() as u32;
    }
    let layout = codes
        .values()
        .map(Code::needs)
        .fold(Layout::default(), Layout::union);
    let mut output = Output::default();
    for number in functions {
        codes[number].emit(layout, &mut output, &|callee| places[&callee]);
    }
    let (constants, symbol_places) = constants.finish();
    let local_bytes = depth(&codes, kernel, &mut Vec::new(), &mut HashMap::new());
    let registers = 2 * layout.doubles + layout.words;
    let function = symbols.function(kernel);
    if u64::from(local_bytes) > LOCAL_BYTES {
        return Err(function.place.error(format!(
            "`{}` and the functions it calls need {local_bytes} bytes of local memory; there are {LOCAL_BYTES}",
            function.name
        )));
    }
    let program = Program {
        name: function.name.to_owned(),
        ops: output.ops.into(),
        lines: output.lines.into(),
        extra: output.extra.into(),
        constants,
        symbols: symbol_places,
        layout,
        local_bytes,
        shared_bytes: shared.bytes,
        param_bytes,
    };
    Ok((describe(function, &program, &params, registers), program))
}

fn describe(
    function: &Function,
    program: &Program,
    params: &[(u32, u32, u32)],
    registers: u32,
) -> Kernel {
    Kernel {
        name: function.name.to_owned(),
        params: params
            .iter()
            .map(|&(offset, size, align)| Param {
                offset,
                size,
                align,
            })
            .collect(),
        shared_bytes: program.shared_bytes,
        local_bytes_per_thread: program.local_bytes,
        registers,
        max_threads_per_block: function.max_threads,
        required_block: function.required_block,
    }
}

/// Local bytes of the deepest chain of calls.
fn depth(
    codes: &HashMap<usize, Code>,
    number: usize,
    above: &mut Vec<usize>,
    known: &mut HashMap<usize, u32>,
) -> u32 {
    if let Some(&bytes) = known.get(&number) {
        return bytes;
    }
    if above.contains(&number) || above.len() >= MAX_CALL_CHAIN {
        return RECURSION_BYTES;
    }
    above.push(number);
    let code = &codes[&number];
    let mut below = 0;
    for &callee in &code.callees {
        below = below.max(depth(codes, callee, above, known));
    }
    above.pop();
    let bytes = code.local_bytes.saturating_add(below);
    known.insert(number, bytes);
    bytes
}
