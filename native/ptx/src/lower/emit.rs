//! From a function's instructions to operations.

use super::allocate::{Frame, allocate};
use super::builder::Builder;
use super::flow::Graph;
use super::instruction::{Class, Flow, Instruction, Slot};
use super::limits::{FRAME_BYTES, LIVENESS_BITS};
use crate::error::LoadError;
use crate::exec::fragment::NONE;
use crate::exec::op::Op;
use crate::exec::program::Layout;

/// A function whose registers are allocated; what is missing are the places of the others.
pub(crate) struct Code {
    graph: Graph,
    frame: Frame,
    pub local_bytes: u32,
    pub callees: Vec<usize>,
}

/// The parts of a program that grow function by function.
#[derive(Default)]
pub(crate) struct Output {
    pub ops: Vec<Op>,
    pub lines: Vec<u32>,
    pub extra: Vec<u32>,
}

/// What a call must know of the function it calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callee {
    pub start: u32,
    pub local_bytes: u32,
}

impl Layout {
    pub fn count(&mut self, class: Class) -> &mut u32 {
        match class {
            Class::Double => &mut self.doubles,
            Class::Word => &mut self.words,
            Class::Predicate => &mut self.predicates,
        }
    }

    /// Where a frame has the register: doubles first, then words, then predicates.
    fn offset(self, (class, place): (Class, u32)) -> u32 {
        let words = self.doubles * Class::Double.bytes();
        let start = match class {
            Class::Double => 0,
            Class::Word => words,
            Class::Predicate => words + self.words * Class::Word.bytes(),
        };
        start + place * class.bytes()
    }
}

impl Code {
    pub fn new(builder: Builder) -> Result<Code, LoadError> {
        let place = builder.symbols.function(builder.number).place;
        let graph = Graph::new(builder.code);
        let registers = builder.scopes.classes.len();
        if registers.saturating_mul(graph.blocks()) > LIVENESS_BITS {
            return Err(place.error(format!(
                "{registers} registers in {} basic blocks are more than can be followed",
                graph.blocks()
            )));
        }
        let frame = allocate(&graph, &builder.scopes.classes);
        if frame.needs.bytes() > FRAME_BYTES {
            return Err(place.error("more than 8192 registers are live at once"));
        }
        let local_bytes = builder.local_bytes.next_multiple_of(16);
        let callees = graph.code.iter().filter_map(|i| {
            if let Flow::Call(f) = i.flow {
                Some(f)
            } else {
                None
            }
        });
        let callees = callees.collect();
        Ok(Code {
            graph,
            frame,
            local_bytes,
            callees,
        })
    }

    pub fn operations(&self) -> usize {
        self.graph.code.len()
    }

    pub fn needs(&self) -> Layout {
        self.frame.needs
    }

    /// Appends the operations, with registers as `layout` has them. `callee` tells where other functions are.
    pub fn emit(&self, layout: Layout, output: &mut Output, callee: &dyn Fn(usize) -> Callee) {
        let base = output.ops.len() as u32;
        for block in 0..self.graph.blocks() {
            let range = self.graph.range(block);
            let counted = self.graph.code[range.clone()]
                .iter()
                .filter(|i| i.counted)
                .count() as u32;
            let meets =
                self.graph.meets[block].map_or(NONE, |meet| base + self.graph.starts[meet] as u32);
            let last = range.end - 1;
            for at in range {
                let instruction = &self.graph.code[at];
                let mut op = self.operation(instruction, layout, output);
                if at == last {
                    op.y = counted;
                }
                self.set_targets(instruction, &mut op, output, base, meets, callee);
                if let Flow::Call(_) = instruction.flow {
                    op.a = layout.bytes() as u32;
                }
                output.ops.push(op);
                output.lines.push(instruction.line);
            }
        }
    }

    fn operation(&self, instruction: &Instruction, layout: Layout, output: &mut Output) -> Op {
        let field = |slot: Slot| match slot {
            Slot::Raw(value) => value,
            Slot::Def(v) | Slot::Use(v) => layout.offset(self.frame.places[v as usize]),
            Slot::CalleeLocal(offset) => self.local_bytes + offset,
        };
        let mut op = Op {
            run: instruction.run,
            d: field(instruction.d),
            a: field(instruction.a),
            b: field(instruction.b),
            c: field(instruction.c),
            x: field(instruction.x),
            y: field(instruction.y),
        };
        if !instruction.list.is_empty() {
            op.x = output.extra.len() as u32;
            output
                .extra
                .extend(instruction.list.iter().map(|slot| field(*slot)));
        }
        op
    }

    fn set_targets(
        &self,
        instruction: &Instruction,
        op: &mut Op,
        output: &mut Output,
        base: u32,
        meets: u32,
        callee: &dyn Fn(usize) -> Callee,
    ) {
        let position = |label: u32| base + self.graph.position(label) as u32;
        match &instruction.flow {
            Flow::Jump(label) => op.d = position(*label),
            Flow::Branch(label) => {
                op.d = position(*label);
                op.x = meets;
            }
            Flow::Switch(labels) => {
                op.d = output.extra.len() as u32;
                op.b = labels.len() as u32;
                op.x = meets;
                output
                    .extra
                    .extend(labels.iter().map(|label| position(*label)));
            }
            Flow::Call(function) => {
                let callee = callee(*function);
                op.d = callee.start;
                op.b = self.local_bytes;
                op.x = callee.local_bytes;
            }
            Flow::Next | Flow::Leave | Flow::Label(_) => {}
        }
    }
}
