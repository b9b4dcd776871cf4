//! The syntax tree: names are unresolved, instructions unchecked.

use crate::error::Place;
use crate::scalar::Scalar;
use std::collections::HashMap;

/// A state space in which a variable is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// What a variable's bytes start as: literal bytes plus addresses to be added at offsets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Initializer {
    pub bytes: Vec<u8>,
    /// (offset, symbol): the symbol's address is added to the value of pointer size at the offset.
    pub symbols: Vec<(u64, String)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Variable<'a> {
    pub place: Place,
    pub name: &'a str,
    pub space: Space,
    pub align: u32,
    pub size: u64,
    /// Declared without a size, as dynamic shared memory is.
    pub unsized_array: bool,
    pub external: bool,
    pub initial: Initializer,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand<'a> {
    /// A register, label, variable or function, perhaps with a component as in `%tid.x`.
    Name {
        name: &'a str,
        component: Option<&'a str>,
        place: Place,
    },
    /// `symbol+offset`.
    Sum {
        name: &'a str,
        offset: i64,
        place: Place,
    },
    Integer {
        value: u64,
        negative: bool,
        place: Place,
    },
    Single {
        bits: u32,
        place: Place,
    },
    Double {
        bits: u64,
        place: Place,
    },
    /// `{a, b}`.
    Vector {
        items: Vec<Operand<'a>>,
        place: Place,
    },
    /// `[base+offset]`; without a name, an absolute address.
    Address {
        name: Option<&'a str>,
        offset: i64,
        place: Place,
    },
    /// `!%p`.
    Not {
        name: &'a str,
        place: Place,
    },
    /// `%p|%q`.
    Pair {
        first: &'a str,
        second: &'a str,
        place: Place,
    },
    /// `(a, b)` of a call.
    List {
        items: Vec<Operand<'a>>,
        place: Place,
    },
}

impl Operand<'_> {
    pub fn place(&self) -> Place {
        match self {
            Operand::Name { place, .. }
            | Operand::Sum { place, .. }
            | Operand::Integer { place, .. }
            | Operand::Single { place, .. }
            | Operand::Double { place, .. }
            | Operand::Vector { place, .. }
            | Operand::Address { place, .. }
            | Operand::Not { place, .. }
            | Operand::Pair { place, .. }
            | Operand::List { place, .. } => *place,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Instruction<'a> {
    pub place: Place,
    /// `@%p` or, negated, `@!%p`.
    pub guard: Option<(&'a str, bool)>,
    pub opcode: &'a str,
    pub modifiers: Vec<(&'a str, Place)>,
    pub operands: Vec<Operand<'a>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Statement<'a> {
    /// `.reg .b32 %r<count>` or a single name.
    Register {
        place: Place,
        scalar: Scalar,
        name: &'a str,
        count: Option<u64>,
    },
    Variable(Variable<'a>),
    Label {
        place: Place,
        name: &'a str,
    },
    /// The label of a list of branch targets, for `brx.idx`.
    Targets {
        name: &'a str,
        labels: Vec<(&'a str, Place)>,
    },
    Instruction(Instruction<'a>),
    OpenScope,
    CloseScope,
}

#[derive(Debug, Clone)]
pub(crate) struct Function<'a> {
    pub place: Place,
    pub name: &'a str,
    pub kernel: bool,
    pub returns: Vec<Variable<'a>>,
    pub params: Vec<Variable<'a>>,
    pub max_threads: Option<u32>,
    pub required_block: Option<[u32; 3]>,
    /// Absent for a mere declaration.
    pub body: Option<Vec<Statement<'a>>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Source<'a> {
    pub variables: Vec<Variable<'a>>,
    pub functions: Vec<Function<'a>>,
    /// Their numbers by name.
    pub named: HashMap<&'a str, usize>,
}
