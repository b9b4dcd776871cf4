//! Reads an instruction's modifiers in the order of the PTX grammar and refuses whatever is left.

use crate::error::{LoadError, Place};
use crate::scalar::Scalar;
use crate::text::syntax::Instruction;

pub(crate) struct Modifiers<'i, 'a> {
    instruction: &'i Instruction<'a>,
    at: usize,
}

impl<'i, 'a> Modifiers<'i, 'a> {
    pub fn new(instruction: &'i Instruction<'a>) -> Self {
        Modifiers { instruction, at: 0 }
    }

    pub fn peek(&self) -> Option<&'a str> {
        self.instruction.modifiers.get(self.at).map(|m| m.0)
    }

    fn place(&self) -> Place {
        self.instruction
            .modifiers
            .get(self.at)
            .map_or(self.instruction.place, |m| m.1)
    }

    pub fn accept(&mut self, name: &str) -> bool {
        let found = self.peek() == Some(name);
        self.at += usize::from(found);
        found
    }

    /// The first of the choices that is next.
    pub fn choice<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        let next = self.peek()?;
        let (_, value) = choices.iter().find(|(name, _)| *name == next)?;
        self.at += 1;
        Some(*value)
    }

    pub fn need<T: Copy>(&mut self, what: &str, choices: &[(&str, T)]) -> Result<T, LoadError> {
        self.choice(choices).ok_or_else(|| self.refusal(what))
    }

    /// A type out of those allowed.
    pub fn scalar(&mut self, allowed: &[Scalar]) -> Result<Scalar, LoadError> {
        let found = self
            .peek()
            .and_then(Scalar::from_name)
            .filter(|scalar| allowed.contains(scalar));
        let scalar = found.ok_or_else(|| self.refusal("a type of this instruction"))?;
        self.at += 1;
        Ok(scalar)
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), LoadError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.refusal("no further modifier")),
        }
    }

    pub fn refusal(&self, wanted: &str) -> LoadError {
        match self.peek() {
            Some(found) => self.unsupported(
                self.place(),
                &format!("expected {wanted}, found `.{found}`"),
            ),
            None => self.unsupported(self.instruction.place, &format!("{wanted} is missing")),
        }
    }

    /// Names the whole form and what is wrong with it.
    pub fn unsupported(&self, place: Place, why: &str) -> LoadError {
        let opcode = self.instruction.opcode;
        let modifiers = &self.instruction.modifiers;
        let form: String = modifiers.iter().map(|m| format!(".{}", m.0)).collect();
        place.error(format!("unsupported form `{opcode}{form}`: {why}"))
    }
}

/// Lists of types that several instructions share.
pub(crate) mod types {
    use crate::scalar::Scalar::{self, *};
    pub const INTEGERS: &[Scalar] = &[U16, U32, U64, S16, S32, S64];
    pub const BITS: &[Scalar] = &[B16, B32, B64];
    pub const WORDS: &[Scalar] = &[U32, S32];
    pub const ANY: &[Scalar] = &[
        U8, U16, U32, U64, S8, S16, S32, S64, B8, B16, B32, B64, F32, F64,
    ];
    pub const MOVES: &[Scalar] = &[
        U16, U32, U64, S16, S32, S64, B16, B32, B64, F32, F64, F16, F16x2, Pred,
    ];
    pub const SELECTS: &[Scalar] = &[B16, B32, B64, U16, U32, U64, S16, S32, S64, F32, F64];
    pub const CONVERTS: &[Scalar] = &[U8, U16, U32, U64, S8, S16, S32, S64, F16, F32, F64];
    pub const COMPARES: &[Scalar] = &[
        B16, B32, B64, U16, U32, U64, S16, S32, S64, F32, F64, F16, F16x2,
    ];
}
