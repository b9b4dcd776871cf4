//! Branches, calls, barriers.

use super::super::builder::{Builder, formal_offsets};
use super::super::instruction::{Flow, Instruction as Lowered, Slot};
use super::super::modifiers::Modifiers;
use super::super::names::Location;
use super::super::operand::exactly;
use crate::error::LoadError;
use crate::exec::{control, memory};
use crate::scalar::Scalar::*;
use crate::text::syntax::{Instruction, Operand};

pub(super) fn bra<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
    guard: Option<(Slot, bool)>,
) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.accept("uni");
    m.end()?;
    let [
        Operand::Name {
            name,
            component: None,
            place,
        },
    ] = exactly(i)?
    else {
        return Err(i.place.error("expected a label"));
    };
    let label = b.label(name, *place);
    match guard {
        Some((predicate, negated)) => b.branch(predicate, negated, label),
        None => b.jump(label),
    }
    Ok(())
}

pub(super) fn brx<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.need(".idx", &[("idx", ())])?;
    m.accept("uni");
    m.end()?;
    let [
        index,
        Operand::Name {
            name,
            component: None,
            place,
        },
    ] = exactly(i)?
    else {
        return Err(i
            .place
            .error("expected an index and the label of a .branchtargets list"));
    };
    let a = b.source(index, U32)?;
    let Some(targets) = b.targets.get(name).filter(|list| !list.is_empty()).cloned() else {
        return Err(place.error(format!("there is no .branchtargets list `{name}`")));
    };
    b.switch_targets += targets.len();
    let labels = targets
        .into_iter()
        .map(|(name, place)| b.label(name, place))
        .collect();
    b.push(Lowered {
        a,
        flow: Flow::Switch(labels),
        ..Lowered::new(control::switch(b.isa))
    });
    Ok(())
}

pub(super) fn call<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.accept("uni");
    m.end()?;
    let (results, name, place, arguments): (&[Operand], _, _, &[Operand]) = match &i.operands[..] {
        [
            Operand::List { items, .. },
            Operand::Name { name, place, .. },
            Operand::List {
                items: arguments, ..
            },
        ] => (items, name, place, arguments),
        [
            Operand::Name { name, place, .. },
            Operand::List {
                items: arguments, ..
            },
        ] => (&[], name, place, arguments),
        [
            Operand::List { items, .. },
            Operand::Name { name, place, .. },
        ] => (items, name, place, &[]),
        [Operand::Name { name, place, .. }] => (&[], name, place, &[]),
        _ => {
            return Err(i
                .place
                .error("expected `call (result), function, (arguments)`"));
        }
    };
    let Some(&callee) = b.symbols.functions.get(name) else {
        return Err(place.error(format!(
            "unknown function `{name}` (indirect calls are not supported)"
        )));
    };
    let function = b.symbols.function(callee);
    if function.body.is_none() {
        if *name == "__assertfail" {
            b.push(Lowered::new(control::assert(b.isa)));
            return Ok(());
        }
        return Err(place.error(format!(
            "`{name}` is declared but not defined in this module"
        )));
    }
    if function.kernel {
        return Err(place.error(format!("`{name}` is a kernel and cannot be called")));
    }
    if function.returns.len() != results.len() || function.params.len() != arguments.len() {
        let (takes, gives) = (function.params.len(), function.returns.len());
        return Err(place.error(format!(
            "`{name}` takes {takes} arguments and gives {gives} results"
        )));
    }
    let offsets = formal_offsets(function);
    let (returns, params) = offsets.split_at(results.len());
    for (argument, &(at, size)) in arguments.iter().zip(params) {
        let from = local_param(b, argument, size)?;
        copy(b, Slot::CalleeLocal(at), Slot::Raw(from), size);
    }
    b.push(Lowered {
        flow: Flow::Call(callee),
        ..Lowered::new(control::call(b.isa))
    });
    for (result, &(at, size)) in results.iter().zip(returns) {
        let to = local_param(b, result, size)?;
        copy(b, Slot::Raw(to), Slot::CalleeLocal(at), size);
    }
    Ok(())
}

fn copy(b: &mut Builder, to: Slot, from: Slot, bytes: u32) {
    b.push(Lowered {
        d: to,
        a: from,
        y: Slot::Raw(bytes),
        ..Lowered::new(memory::copy_local(b.isa))
    });
}

/// Where a `.param` variable of this function is; it must have at least `size` bytes.
fn local_param<'a>(
    b: &Builder<'a, '_>,
    operand: &Operand<'a>,
    size: u32,
) -> Result<u32, LoadError> {
    let Operand::Name {
        name,
        component: None,
        place,
    } = operand
    else {
        return Err(operand.place().error("expected a .param variable"));
    };
    match b.variable(name) {
        Some(Location::Frame(at)) if at.saturating_add(size) <= b.local_bytes => Ok(at),
        Some(Location::Frame(_)) => {
            Err(place.error(format!("`{name}` is smaller than the {size} bytes needed")))
        }
        _ => Err(place.error(format!(
            "`{name}` is not a .param variable of this function"
        ))),
    }
}

pub(super) fn ret<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.accept("uni");
    m.end()?;
    exactly::<0>(i)?;
    b.return_jump();
    Ok(())
}

pub(super) fn exit<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    Modifiers::new(i).end()?;
    exactly::<0>(i)?;
    b.push(Lowered {
        flow: Flow::Leave,
        ..Lowered::new(control::exit(b.isa))
    });
    Ok(())
}

pub(super) fn trap<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    Modifiers::new(i).end()?;
    exactly::<0>(i)?;
    b.push(Lowered::new(control::trap(b.isa)));
    Ok(())
}

/// Sleeping is up to the host: other warps run in the meantime anyway.
pub(super) fn nanosleep<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.scalar(&[U32])?;
    m.end()?;
    let [time] = exactly(i)?;
    b.source(time, U32)?;
    b.push(Lowered::new(memory::observe(b.isa)));
    Ok(())
}

pub(super) fn barrier<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    if i.opcode == "bar" && m.accept("warp") {
        m.need(".sync", &[("sync", ())])?;
        m.end()?;
        return super::warp::warp_sync(b, i);
    }
    m.accept("cta");
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Sync,
        Arrive,
        Reduce,
    }
    let kind = m.need(
        "one of .sync, .arrive and .red",
        &[
            ("sync", Kind::Sync),
            ("arrive", Kind::Arrive),
            ("red", Kind::Reduce),
        ],
    )?;
    let reduction = if kind == Kind::Reduce {
        m.need("a reduction", &[("popc", 1), ("and", 2), ("or", 3)])?
    } else {
        0
    };
    m.accept("aligned");
    if kind == Kind::Reduce {
        m.scalar(if reduction == 1 { &[U32] } else { &[Pred] })?;
    }
    m.end()?;
    let mut operands = &i.operands[..];
    let mut vote = None;
    if let (Kind::Reduce, [d, middle @ .., p]) = (kind, operands) {
        let d = b.target(d, if reduction == 1 { U32 } else { Pred })?;
        vote = Some((d, b.predicate_source(p)?));
        operands = middle;
    }
    let (which, threads) = match operands {
        [which] if kind != Kind::Arrive => (b.source(which, U32)?, b.word(0)),
        [which, threads] => (b.source(which, U32)?, b.source(threads, U32)?),
        _ => {
            return Err(i
                .place
                .error("expected a barrier and perhaps a number of threads"));
        }
    };
    b.push(Lowered {
        d: vote.map_or(Slot::Raw(0), |(_, p)| p),
        a: which,
        b: threads,
        c: Slot::Raw(u32::from(kind == Kind::Arrive)),
        x: Slot::Raw(reduction),
        ..Lowered::new(control::barrier(b.isa))
    });
    if let Some((d, _)) = vote {
        b.push(Lowered {
            d,
            a: which,
            x: Slot::Raw(reduction),
            ..Lowered::new(control::reduced(b.isa))
        });
    }
    Ok(())
}
