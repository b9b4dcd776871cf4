//! The top level: header, variables, functions.

use super::body;
use super::cursor::Cursor;
use super::initializer::variable;
use super::syntax::{Function, Source, Space, Statement, Variable};
use super::token::{Token, tokenize};
use crate::error::LoadError;
use std::collections::HashMap;

/// Parses a module for a device of compute capability `device_sm` (80 is 8.0).
pub(crate) fn parse(source: &str, device_sm: u32) -> Result<Source<'_>, LoadError> {
    let mut cursor = Cursor::new(tokenize(source)?);
    header(&mut cursor, device_sm)?;
    let mut parsed = Source {
        variables: Vec::new(),
        functions: Vec::new(),
        named: HashMap::new(),
    };
    while cursor.peek() != Token::End {
        item(&mut cursor, &mut parsed)?;
    }
    Ok(parsed)
}

fn header(cursor: &mut Cursor, device_sm: u32) -> Result<(), LoadError> {
    if !cursor.accept_dot("version") {
        return cursor.unexpected("`.version`, with which a PTX module begins");
    }
    let place = cursor.place();
    match cursor.take() {
        Token::Double(bits) if (1.0..10.0).contains(&f64::from_bits(bits)) => {}
        other => {
            return Err(place.error(format!(
                "expected a version such as 7.5, found {}",
                other.describe()
            )));
        }
    }
    if !cursor.accept_dot("target") {
        return cursor.unexpected("`.target`");
    }
    let place = cursor.place();
    let target = cursor.word("a target such as sm_80")?;
    let digits = target
        .strip_prefix("sm_")
        .map(|t| t.trim_end_matches(['a', 'f']));
    let Some(sm) = digits.and_then(|d| d.parse::<u32>().ok()) else {
        return Err(place.error(format!("unknown target `{target}`")));
    };
    if sm > device_sm {
        return Err(place.error(format!(
            "target {target} is newer than this device, sm_{device_sm}"
        )));
    }
    while cursor.accept(b',') {
        cursor.word("a target option")?;
    }
    if cursor.accept_dot("address_size") {
        let place = cursor.place();
        if cursor.integer("an address size")? != 64 {
            return Err(place.error("only .address_size 64 is supported"));
        }
        return Ok(());
    }
    cursor.unexpected("`.address_size 64`")
}

fn item<'a>(cursor: &mut Cursor<'a>, parsed: &mut Source<'a>) -> Result<(), LoadError> {
    let mut external = false;
    loop {
        match cursor.peek() {
            Token::Dot("extern") => external = true,
            Token::Dot("visible" | "weak" | "common") => {}
            _ => break,
        }
        cursor.take();
    }
    let place = cursor.place();
    let space = match cursor.take() {
        Token::Dot("global") => Space::Global,
        Token::Dot("const") => Space::Const,
        Token::Dot("shared") => Space::Shared,
        Token::Dot("entry") => return function(cursor, parsed, true),
        Token::Dot("func") => return function(cursor, parsed, false),
        Token::Dot("file" | "loc") => {
            cursor.skip_line();
            return Ok(());
        }
        Token::Dot("pragma") => {
            cursor.take();
            return cursor.expect(b';');
        }
        Token::Dot("section") => return section(cursor),
        other => {
            return Err(place.error(format!("{} does not begin a declaration", other.describe())));
        }
    };
    loop {
        let declared = variable(cursor, space, external)?;
        parsed.variables.push(declared);
        if !cursor.accept(b',') {
            return cursor.expect(b';');
        }
    }
}

/// Debug sections carry nothing to execute.
fn section(cursor: &mut Cursor) -> Result<(), LoadError> {
    while !cursor.is(b'{') {
        if cursor.take() == Token::End {
            return cursor.unexpected("`{`");
        }
    }
    while !cursor.is(b'}') {
        if cursor.take() == Token::End {
            return cursor.unexpected("`}`");
        }
    }
    cursor.expect(b'}')
}

fn function<'a>(
    cursor: &mut Cursor<'a>,
    parsed: &mut Source<'a>,
    kernel: bool,
) -> Result<(), LoadError> {
    let returns = if !kernel && cursor.is(b'(') {
        parameters(cursor)?
    } else {
        Vec::new()
    };
    let place = cursor.place();
    let name = cursor.word("a function name")?;
    let params = if cursor.is(b'(') {
        parameters(cursor)?
    } else {
        Vec::new()
    };
    let mut function = Function {
        place,
        name,
        kernel,
        returns,
        params,
        max_threads: None,
        required_block: None,
        body: None,
    };
    loop {
        match cursor.peek() {
            Token::Punct(b';') => {
                cursor.take();
                break;
            }
            Token::Punct(b'{') => {
                function.body = Some(body::parse(cursor)?);
                break;
            }
            Token::Dot("maxntid") => {
                function.max_threads = Some(triple(cursor)?.iter().try_fold(1u32, |p, &n| {
                    p.checked_mul(n)
                        .ok_or_else(|| place.error("`.maxntid` is too large"))
                })?)
            }
            Token::Dot("reqntid") => function.required_block = Some(triple(cursor)?),
            Token::Dot("minnctapersm" | "maxnctapersm" | "maxnreg") => {
                cursor.take();
                cursor.integer("a count")?;
            }
            Token::Dot("noreturn") => {
                cursor.take();
            }
            Token::Dot("pragma") => {
                cursor.take();
                cursor.take();
                cursor.expect(b';')?;
            }
            _ => return cursor.unexpected("`{`, `;` or a performance directive"),
        }
    }
    match parsed.named.get(name).copied() {
        Some(at) if parsed.functions[at].body.is_none() => parsed.functions[at] = function,
        Some(_) if function.body.is_none() => {}
        Some(_) => return Err(place.error(format!("`{name}` is defined twice"))),
        None => {
            parsed.named.insert(name, parsed.functions.len());
            parsed.functions.push(function);
        }
    }
    Ok(())
}

fn triple(cursor: &mut Cursor) -> Result<[u32; 3], LoadError> {
    cursor.take();
    let mut sizes = [1; 3];
    sizes[0] = cursor.small("a block size")?;
    for size in &mut sizes[1..] {
        if !cursor.accept(b',') {
            break;
        }
        *size = cursor.small("a block size")?;
    }
    Ok(sizes)
}

/// `(.param .u64 a, .param .b32 b)`; `.reg` parameters are of an ABI that no compiler uses any more.
fn parameters<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<Variable<'a>>, LoadError> {
    cursor.expect(b'(')?;
    let mut list = Vec::new();
    while !cursor.accept(b')') {
        if !cursor.accept_dot("param") {
            return cursor.unexpected("`.param`");
        }
        list.push(variable(cursor, Space::Param, false)?);
        if !cursor.accept(b',') && !cursor.is(b')') {
            return cursor.unexpected("`,` or `)`");
        }
    }
    Ok(list)
}

impl Statement<'_> {
    /// Whether this opens (1) or closes (-1) a scope.
    pub(super) fn nesting(&self) -> i32 {
        match self {
            Statement::OpenScope => 1,
            Statement::CloseScope => -1,
            _ => 0,
        }
    }
}
