//! What names mean: module-wide tables and a function's scopes.

use super::instruction::{Class, Virtual};
use crate::error::{LoadError, Place};
use crate::scalar::Scalar;
use crate::text::syntax::{Function, Source, Variable};
use std::collections::HashMap;

/// Where a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Location {
    /// In global or constant memory, at an address that binding gives.
    Global,
    /// At this offset of shared memory.
    Shared(u32),
    /// At this offset of the function's local frame.
    Frame(u32),
    /// At this offset of the kernel's parameters, with this size.
    KernelParam(u32, u32),
}

/// The names of a module.
pub(crate) struct Symbols<'a> {
    pub variables: HashMap<&'a str, &'a Variable<'a>>,
    pub functions: &'a HashMap<&'a str, usize>,
    pub source: &'a Source<'a>,
}

impl<'a> Symbols<'a> {
    pub fn new(source: &'a Source<'a>) -> Result<Symbols<'a>, LoadError> {
        let mut variables = HashMap::new();
        for variable in &source.variables {
            let earlier: Option<&Variable> = variables.insert(variable.name, variable);
            if earlier.is_some_and(|e| !e.external && !variable.external) {
                return Err(variable
                    .place
                    .error(format!("`{}` is declared twice", variable.name)));
            }
        }
        Ok(Symbols {
            variables,
            functions: &source.named,
            source,
        })
    }

    pub fn function(&self, at: usize) -> &'a Function<'a> {
        &self.source.functions[at]
    }
}

/// Shared memory of one kernel: offsets of the variables that it and its callees name.
#[derive(Default)]
pub(crate) struct SharedLayout<'a> {
    offsets: HashMap<(Option<usize>, &'a str), u32>,
    pub bytes: u32,
    dynamic: Vec<((Option<usize>, &'a str), u32)>,
}

impl<'a> SharedLayout<'a> {
    /// Places a variable; `owner` is the function that declares it, if any.
    pub fn add(&mut self, owner: Option<usize>, variable: &Variable<'a>) -> Result<(), LoadError> {
        let key = (owner, variable.name);
        if self.offsets.contains_key(&key) {
            return Ok(());
        }
        if variable.unsized_array {
            self.offsets.insert(key, 0);
            self.dynamic.push((key, variable.align));
            return Ok(());
        }
        let start = u64::from(self.bytes).next_multiple_of(u64::from(variable.align.max(1)));
        let end = start + variable.size;
        if end > 1 << 24 {
            return Err(variable.place.error(format!(
                "`{}` makes shared memory exceed 16 MiB",
                variable.name
            )));
        }
        self.offsets.insert(key, start as u32);
        self.bytes = end as u32;
        Ok(())
    }

    /// Dynamic shared memory begins after everything else.
    pub fn finish(&mut self) {
        let align = self
            .dynamic
            .iter()
            .map(|(_, align)| *align)
            .max()
            .unwrap_or(1)
            .max(16);
        if !self.dynamic.is_empty() {
            self.bytes = self.bytes.next_multiple_of(align);
        }
        for (key, _) in &self.dynamic {
            self.offsets.insert(*key, self.bytes);
        }
    }

    pub fn offset(&self, owner: Option<usize>, name: &'a str) -> Option<u32> {
        self.offsets.get(&(owner, name)).copied()
    }
}

#[derive(Default)]
struct Scope<'a> {
    registers: HashMap<&'a str, (Virtual, Scalar)>,
    ranges: Vec<(&'a str, Scalar, u64)>,
    variables: HashMap<&'a str, Location>,
}

/// The names of a function, innermost scope last.
pub(crate) struct Scopes<'a> {
    scopes: Vec<Scope<'a>>,
    pub classes: Vec<Class>,
}

impl<'a> Scopes<'a> {
    pub fn new() -> Scopes<'a> {
        Scopes {
            scopes: vec![Scope::default()],
            classes: Vec::new(),
        }
    }

    pub fn open(&mut self) {
        self.scopes.push(Scope::default());
    }

    pub fn close(&mut self) {
        self.scopes.pop();
    }

    pub fn fresh(&mut self, class: Class) -> Virtual {
        self.classes.push(class);
        (self.classes.len() - 1) as Virtual
    }

    fn innermost(&mut self) -> &mut Scope<'a> {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    pub fn declare_register(
        &mut self,
        place: Place,
        scalar: Scalar,
        name: &'a str,
        count: Option<u64>,
    ) -> Result<(), LoadError> {
        let scope = self.innermost();
        if let Some(count) = count {
            scope.ranges.push((name, scalar, count));
            return Ok(());
        }
        let register = self.fresh(class_of(scalar));
        if self
            .innermost()
            .registers
            .insert(name, (register, scalar))
            .is_some()
        {
            return Err(place.error(format!("register `{name}` is declared twice")));
        }
        Ok(())
    }

    pub fn declare_variable(&mut self, name: &'a str, location: Location) {
        self.innermost().variables.insert(name, location);
    }

    pub fn variable(&self, name: &str) -> Option<Location> {
        self.scopes
            .iter()
            .rev()
            .find_map(|scope| scope.variables.get(name).copied())
    }

    /// The register of that name, made when it is first named out of a range.
    pub fn register(&mut self, name: &'a str) -> Option<(Virtual, Scalar)> {
        for at in (0..self.scopes.len()).rev() {
            if let Some(&known) = self.scopes[at].registers.get(name) {
                return Some(known);
            }
            let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
            // A prefix may itself end in digits, as in `%r1<4>`; try the longest first.
            let range = self.scopes[at].ranges.iter().find(|(declared, _, count)| {
                declared.len() >= prefix.len()
                    && name
                        .strip_prefix(declared)
                        .and_then(|n| n.parse::<u64>().ok())
                        .is_some_and(|n| n < *count)
            });
            if let Some(&(_, scalar, _)) = range {
                let register = self.fresh(class_of(scalar));
                self.scopes[at].registers.insert(name, (register, scalar));
                return Some((register, scalar));
            }
        }
        None
    }
}

/// The class of registers declared with a type.
pub(crate) fn class_of(scalar: Scalar) -> Class {
    match scalar {
        Scalar::Pred => Class::Predicate,
        _ if scalar.bytes() == 8 => Class::Double,
        _ => Class::Word,
    }
}
