//! Instructions in which the lanes of a warp exchange something.

use super::super::builder::Builder;
use super::super::instruction::{Instruction as Lowered, Slot};
use super::super::modifiers::{Modifiers, types};
use super::super::operand::exactly;
use crate::error::LoadError;
use crate::exec::vote::{self, *};
use crate::scalar::Scalar::*;
use crate::text::syntax::{Instruction, Operand};

pub(super) fn shfl<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let synchronised = m.accept("sync");
    let isa = b.isa;
    let run = m.need(
        "one of .up, .down, .bfly and .idx",
        &[
            ("up", vote::shfl::<SHFL_UP>(isa)),
            ("down", vote::shfl::<SHFL_DOWN>(isa)),
            ("bfly", vote::shfl::<SHFL_BFLY>(isa)),
            ("idx", vote::shfl::<SHFL_IDX>(isa)),
        ],
    )?;
    m.scalar(&[B32])?;
    m.end()?;
    let (target, rest, members) = match (&i.operands[..], synchronised) {
        ([d, x, y, z], false) => (d, [x, y, z], Slot::Raw(ABSENT)),
        ([d, x, y, z, members], true) => (d, [x, y, z], b.source(members, B32)?),
        _ => return Err(i.place.error("wrong number of operands for `shfl`")),
    };
    let (d, valid) = match target {
        Operand::Pair {
            first,
            second,
            place,
        } => {
            let name = |name| Operand::Name {
                name,
                component: None,
                place: *place,
            };
            (
                b.target(&name(*first), B32)?,
                b.target(&name(*second), Pred)?,
            )
        }
        single => (b.target(single, B32)?, Slot::Raw(ABSENT)),
    };
    let [x, y, z] = rest;
    let (x, y, z) = (b.source(x, B32)?, b.source(y, B32)?, b.source(z, B32)?);
    b.push(Lowered {
        d,
        a: x,
        b: y,
        c: z,
        x: members,
        y: valid,
        ..Lowered::new(run)
    });
    Ok(())
}

pub(super) fn vote<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let synchronised = m.accept("sync");
    let what = m.need(
        "one of .all, .any, .uni and .ballot",
        &[
            ("all", VOTE_ALL),
            ("any", VOTE_ANY),
            ("uni", VOTE_UNI),
            ("ballot", VOTE_BALLOT),
        ],
    )?;
    let ty = m.scalar(if what == VOTE_BALLOT { &[B32] } else { &[Pred] })?;
    m.end()?;
    let (d, p, members) = match (&i.operands[..], synchronised) {
        ([d, p], false) => (d, p, Slot::Raw(ABSENT)),
        ([d, p, members], true) => (d, p, b.source(members, B32)?),
        _ => return Err(i.place.error("wrong number of operands for `vote`")),
    };
    let (d, a) = (b.target(d, ty)?, b.predicate_source(p)?);
    b.push(Lowered {
        d,
        a,
        x: members,
        y: Slot::Raw(what),
        ..Lowered::new(vote::vote(b.isa))
    });
    Ok(())
}

pub(super) fn activemask<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.scalar(&[B32])?;
    m.end()?;
    let [d] = exactly(i)?;
    let d = b.target(d, B32)?;
    b.push(Lowered {
        d,
        ..Lowered::new(vote::active_mask(b.isa))
    });
    Ok(())
}

pub(super) fn warp_sync<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let [members] = exactly(i)?;
    let x = b.source(members, B32)?;
    b.push(Lowered {
        x,
        ..Lowered::new(vote::warp_sync(b.isa))
    });
    Ok(())
}

pub(super) fn redux<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.need(".sync", &[("sync", ())])?;
    let name = m.peek().unwrap_or("");
    let bits = m.choice(&[
        ("and", Reduce::And),
        ("or", Reduce::Or),
        ("xor", Reduce::Xor),
    ]);
    let how = match bits {
        Some(how) => {
            m.scalar(&[B32])?;
            how
        }
        None => {
            m.need("an operation", &[("add", ()), ("min", ()), ("max", ())])?;
            match (name, m.scalar(types::WORDS)?) {
                ("add", _) => Reduce::Add,
                ("min", U32) => Reduce::MinUnsigned,
                ("min", _) => Reduce::MinSigned,
                (_, U32) => Reduce::MaxUnsigned,
                _ => Reduce::MaxSigned,
            }
        }
    };
    m.end()?;
    let [d, x, members] = exactly(i)?;
    let (d, a, x) = (
        b.target(d, B32)?,
        b.source(x, B32)?,
        b.source(members, B32)?,
    );
    b.push(Lowered {
        d,
        a,
        x,
        y: Slot::Raw(how as u32),
        ..Lowered::new(vote::redux(b.isa))
    });
    Ok(())
}
