//! Splits PTX text into tokens, each with its place.

use crate::error::{LoadError, Place};

/// One token. Text is borrowed from the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name: opcode, register (`%r1`), label or variable.
    Word(&'a str),
    /// A directive or modifier, without its dot.
    Dot(&'a str),
    /// An integer literal.
    Integer(u64),
    /// A `0f…` literal, as bits.
    Single(u32),
    /// A `0d…` or decimal literal, as bits of a double.
    Double(u64),
    Text(&'a str),
    Punct(u8),
    End,
}

impl Token<'_> {
    /// How an error message names it.
    pub fn describe(&self) -> String {
        match self {
            Token::Word(word) => format!("`{word}`"),
            Token::Dot(word) => format!("`.{word}`"),
            Token::Integer(value) => format!("`{value}`"),
            Token::Single(_) | Token::Double(_) => "a floating point literal".into(),
            Token::Text(text) => format!("\"{text}\""),
            Token::Punct(byte) => format!("`{}`", char::from(*byte)),
            Token::End => "the end of the text".into(),
        }
    }
}

/// Tokens of a whole text, ending in `Token::End`.
pub(crate) fn tokenize(source: &str) -> Result<Vec<(Token<'_>, Place)>, LoadError> {
    let mut lexer = Lexer {
        source,
        bytes: source.as_bytes(),
        at: 0,
        line: 1,
        line_start: 0,
    };
    let mut tokens = Vec::with_capacity(source.len() / 4);
    loop {
        lexer.skip_blank()?;
        let place = lexer.place();
        let token = lexer.next(place)?;
        tokens.push((token, place));
        if token == Token::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: u32,
    line_start: usize,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

impl<'a> Lexer<'a> {
    fn place(&self) -> Place {
        Place {
            line: self.line,
            column: (self.at - self.line_start) as u32 + 1,
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn newline(&mut self) {
        self.line += 1;
        self.line_start = self.at + 1;
    }

    fn skip_blank(&mut self) -> Result<(), LoadError> {
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'\n', _) => self.newline(),
                (b' ' | b'\t' | b'\r' | 0x0c, _) => {}
                (b'/', b'/') => {
                    while self.at < self.bytes.len() && self.peek(0) != b'\n' {
                        self.at += 1;
                    }
                    continue;
                }
                (b'/', b'*') => {
                    self.skip_comment()?;
                    continue;
                }
                _ => return Ok(()),
            }
            self.at += 1;
        }
        Ok(())
    }

    fn skip_comment(&mut self) -> Result<(), LoadError> {
        let start = self.place();
        self.at += 2;
        while self.at < self.bytes.len() {
            if self.peek(0) == b'*' && self.peek(1) == b'/' {
                self.at += 2;
                return Ok(());
            }
            if self.peek(0) == b'\n' {
                self.newline();
            }
            self.at += 1;
        }
        Err(start.error("this comment is never closed"))
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.at < self.bytes.len() && keep(self.bytes[self.at]) {
            self.at += 1;
        }
        // Only ASCII bytes are ever kept, so both ends are character boundaries.
        self.source.get(start..self.at).unwrap_or("")
    }

    fn next(&mut self, place: Place) -> Result<Token<'a>, LoadError> {
        let byte = self.peek(0);
        if self.at >= self.bytes.len() {
            return Ok(Token::End);
        }
        match byte {
            b'.' if is_word(self.peek(1)) => {
                self.at += 1;
                Ok(Token::Dot(self.take_while(|b| is_word(b) || b == b':')))
            }
            b'0'..=b'9' => self.number(place),
            b'"' => self.text(place),
            b'%' | b'_' | b'$' | b'a'..=b'z' | b'A'..=b'Z' => Ok(Token::Word(self.word())),
            b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';' | b':' | b'+' | b'-' | b'='
            | b'@' | b'!' | b'<' | b'>' | b'|' | b'*' => {
                self.at += 1;
                Ok(Token::Punct(byte))
            }
            _ => {
                let shown = self
                    .source
                    .get(self.at..)
                    .and_then(|rest| rest.chars().next())
                    .unwrap_or('?');
                Err(place.error(format!("unexpected character {shown:?}")))
            }
        }
    }

    fn word(&mut self) -> &'a str {
        let start = self.at;
        self.at += 1;
        self.take_while(is_word);
        self.source.get(start..self.at).unwrap_or("")
    }

    fn text(&mut self, place: Place) -> Result<Token<'a>, LoadError> {
        self.at += 1;
        let start = self.at;
        while self.at < self.bytes.len() && self.peek(0) != b'"' {
            if self.peek(0) == b'\n' {
                return Err(place.error("this string is not closed on its line"));
            }
            self.at += 1;
        }
        if self.at >= self.bytes.len() {
            return Err(place.error("this string is never closed"));
        }
        let text = self.source.get(start..self.at).unwrap_or("");
        self.at += 1;
        Ok(Token::Text(text))
    }

    fn number(&mut self, place: Place) -> Result<Token<'a>, LoadError> {
        let word = self.take_while(is_word);
        let bad = |word: &str| place.error(format!("`{word}` is not a number"));
        let lower = word.to_ascii_lowercase();
        if let Some(hex) = lower.strip_prefix("0f") {
            let bits = u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 8);
            return bits
                .map(Token::Single)
                .ok_or_else(|| place.error(format!("`{word}` needs 8 hex digits after 0f")));
        }
        if let Some(hex) = lower.strip_prefix("0d") {
            let bits = u64::from_str_radix(hex, 16)
                .ok()
                .filter(|_| hex.len() == 16);
            return bits
                .map(Token::Double)
                .ok_or_else(|| place.error(format!("`{word}` needs 16 hex digits after 0d")));
        }
        if self.peek(0) == b'.' && self.peek(1).is_ascii_digit() {
            self.at += 1;
            let mut text = format!("{word}.{}", self.take_while(is_word));
            if text.ends_with(['e', 'E']) && matches!(self.peek(0), b'+' | b'-') {
                text.push(char::from(self.peek(0)));
                self.at += 1;
                text.push_str(self.take_while(|b| b.is_ascii_digit()));
            }
            return text
                .parse::<f64>()
                .map(|v| Token::Double(v.to_bits()))
                .map_err(|_| bad(&text));
        }
        let digits = lower.strip_suffix('u').unwrap_or(&lower);
        let parsed = if let Some(hex) = digits.strip_prefix("0x") {
            u64::from_str_radix(hex, 16)
        } else if let Some(binary) = digits.strip_prefix("0b") {
            u64::from_str_radix(binary, 2)
        } else if digits.len() > 1 && digits.starts_with('0') {
            u64::from_str_radix(&digits[1..], 8)
        } else {
            digits.parse()
        };
        parsed.map(Token::Integer).map_err(|_| bad(word))
    }
}
